"""How a file becomes lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.batches.lines import LineName, Place, RawLine, split
from tests.domain.batches.lines import pieces

CONTENT = b"one\n\n  two \r\nthree"


def texts(*parts: bytes, longest: int = 100) -> list[tuple[int, bytes | None]]:
    return [(line.number, line.text) for line in split(parts, longest)]


def test_lines_are_counted_as_an_editor_counts_them_and_blank_ones_left_out() -> None:
    assert texts(CONTENT) == [(1, b"one"), (3, b"two"), (4, b"three")]


@given(st.lists(st.integers(1, 7), min_size=1))
def test_it_does_not_matter_in_which_pieces_a_file_comes(sizes: list[int]) -> None:
    assert list(split(pieces(CONTENT, sizes), 100)) == list(split([CONTENT], 100))


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_a_line() -> None:
    assert texts(b"\xef\xbb\xbfone\r\ntwo\r\n") == [(1, b"one"), (2, b"two")]


def test_a_mark_in_the_middle_stays() -> None:
    assert texts(b"one\n\xef\xbb\xbftwo") == [(1, b"one"), (2, b"\xef\xbb\xbftwo")]


@pytest.mark.parametrize("content", [b"", b"\n\n", b" \r\n\t\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_a_file_of_blanks_has_no_lines(content: bytes) -> None:
    assert texts(content) == []


def test_a_line_that_is_too_long_is_told_of_and_not_held() -> None:
    long = b"x" * 1_000
    assert texts(b"a\n", long, long, b"\nb\n", longest=100) == [(1, b"a"), (2, None), (3, b"b")]
    assert texts(long, longest=1_000) == [(1, long)]
    assert texts(long, longest=999) == [(1, None)]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_reading_can_go_on_where_it_stopped(number: int) -> None:
    lines = list(split([CONTENT], 100))
    last = lines[number]
    rest = split([CONTENT[last.end :]], 100, Place(last.number, last.end))
    assert list(rest) == lines[number + 1 :]


def test_each_line_says_where_the_next_begins() -> None:
    assert list(split([b"a\nbc\n"], 100)) == [RawLine(1, b"a", 2), RawLine(2, b"bc", 5)]


@pytest.mark.parametrize("custom_id", ["a", "with some spaces", "0 1 2", "ü"])
def test_a_name_is_read_as_it_was_written(custom_id: str) -> None:
    name = LineName(17, -5, custom_id)
    assert LineName.parse(str(name)) == name
