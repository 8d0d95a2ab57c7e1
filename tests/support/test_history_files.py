"""A history in files is the same when it is read."""

from pathlib import Path

from tests.crash.test_checker import WHOLE
from tests.support.history import Assembled, Fault, KeptSession, Sighting, Trace, Wish
from tests.support.history_files import Records, read


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with Records(tmp_path / "clients.jsonl") as first, Records(tmp_path / "store.jsonl") as second:
        first.write(*WHOLE.submissions, *WHOLE.calls)
        second.write(*WHOLE.looks, *WHOLE.jobs, *WHOLE.prompts, *WHOLE.answers)
    found = read(tmp_path, last_fault=WHOLE.last_fault, within_ms=WHOLE.within_ms)
    assert list(found.submissions) == list(WHOLE.submissions)
    assert list(found.calls) == list(WHOLE.calls)
    assert [(look.at, tuple(look.jobs)) for look in found.looks] == [(look.at, look.jobs) for look in WHOLE.looks]
    assert list(found.jobs) == list(WHOLE.jobs)
    assert (list(found.prompts), list(found.answers)) == (list(WHOLE.prompts), list(WHOLE.answers))


def test_all_that_is_told_has_its_place(tmp_path: Path) -> None:
    told = (
        Wish("ses_a", "k1", "plain", ("succeeded",)),
        Sighting("ses_tmp_a", "k1", 1, 2, "gone", 3),
        Assembled("c1", "ses_a", "msg_1", "text"),
        Trace("a log", "text"),
        Fault("worker killed", 1, 2),
        KeptSession("ses_a", 0),
    )
    with Records(tmp_path / "all.jsonl") as records:
        records.write(*told)
    found = read(tmp_path)
    wish = found.wishes[0]
    assert (wish.session, wish.key, tuple(wish.states)) == ("ses_a", "k1", ("succeeded",))
    assert (*found.sightings, *found.assembled, *found.traces, *found.faults, *found.sessions) == told[1:]


def test_a_line_that_was_not_finished_is_left_out(tmp_path: Path) -> None:
    with Records(tmp_path / "store.jsonl") as records:
        records.write(KeptSession("ses_a", 0))
    with (tmp_path / "store.jsonl").open("a") as file:
        file.write('["KeptSession", "ses')
    assert read(tmp_path).sessions == [KeptSession("ses_a", 0)]
    assert not read(tmp_path / "nowhere").sessions
