"""What is found in a file as a whole."""

import tracemalloc

from domain.batches.lines import split
from domain.batches.reading import Defaults, LineReader
from domain.batches.validation import MOST_ERRORS, validate
from tests.domain.batches.lines import TERMS, found_in, jsonl, short, validated


def test_a_good_file_is_counted() -> None:
    found = found_in(short("a"), "", short("b", ephemeral=True))
    assert (found.total, found.invalid, found.has_ephemeral, found.errors) == (2, 0, True, ())


def test_each_error_names_file_line_field_and_reason() -> None:
    found = found_in(short("a"), "", {"custom_id": "b"}, short("c", prompt=""))
    assert (found.total, found.invalid) == (3, 2)
    assert [(error.line, error.field) for error in found.errors] == [(3, "method"), (4, "prompt")]
    assert found.errors[1].message == "prompts.jsonl, line 4: prompt: must not be empty"


def test_a_hundred_errors_are_listed_and_all_are_counted() -> None:
    found = found_in(*[{"custom_id": str(n)} for n in range(MOST_ERRORS + 50)])
    assert (len(found.errors), found.invalid) == (MOST_ERRORS, MOST_ERRORS + 50)


def test_a_name_that_comes_twice_is_an_error_of_the_later_line() -> None:
    found = found_in(short("a"), short("b"), short("a"), "{", short("a"))
    assert found.repeated == {3, 5}
    assert [(error.line, error.code) for error in found.errors] == [
        (3, "duplicate_custom_id"),
        (4, "invalid_json"),
        (5, "duplicate_custom_id"),
    ]
    assert "line 1" in found.errors[0].message


def test_a_name_that_a_bad_line_has_is_taken() -> None:
    assert found_in({"custom_id": "a"}, short("a")).repeated == {2}


def test_an_empty_file_and_one_of_blank_lines_have_no_lines() -> None:
    for content in (b"", b"\n\n \n", b"\xef\xbb\xbf\r\n"):
        found = validated(content)
        assert (found.total, [error.code for error in found.errors]) == (0, ["empty_file"])


def test_a_line_that_is_too_long_is_an_error_of_that_line() -> None:
    found = found_in(short("a"), short("b", prompt="x" * 20_000), short("c"))
    assert [(error.line, error.code) for error in found.errors] == [(2, "line_too_long")]


def test_too_many_lines_are_one_error() -> None:
    found = found_in(*[short(str(n)) for n in range(11)], most_lines=10)
    assert (found.total, [error.code for error in found.errors]) == (0, ["too_many_lines"])


def test_memory_is_flat() -> None:
    def peak(lines: int) -> int:
        reader = LineReader(Defaults(), TERMS)
        content = (jsonl(short(f"line-{number}")) for number in range(lines))
        held = list(content) if lines <= 100 else None
        tracemalloc.start()
        source = held if held is not None else (jsonl(short(f"line-{number}")) for number in range(lines))
        validate(lambda: split(source, 10_000), reader, file="x", most_lines=10**9)
        _, top = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return top

    assert peak(20_000) - peak(100) < 20_000 * 24, "eight bytes of each, and some room"
