"""The checker is shown what ephemeral sessions, streams, refusals and poison promise, kept and broken."""

from collections.abc import Sequence
from dataclasses import replace

from tests.crash.test_checker import WHOLE, S, broken, invariants, words
from tests.support.checker import violations
from tests.support.history import (
    Answer,
    Assembled,
    Attempt,
    Call,
    Fault,
    History,
    Job,
    KeptSession,
    Prompt,
    Sighting,
    Submission,
    Trace,
    Wish,
)

T = "ses_tmp_a"

#: One prompt of an ephemeral session, seen to its end and read.
PASSING = History(
    submissions=(Submission("c1", T, "k1", 100, 110, 204, "job_1"),),
    calls=(Call(T, "job_1", 1, 121, "one", (), "answer one"),),
    sightings=(Sighting(T, "k1", 120, 220, "running", 1_000), Sighting(T, "k1", 230, 310, "succeeded", 1_000)),
    jobs=(Job("job_1", T, 1, "succeeded", 1, (Attempt(1, 120, 300, "succeeded"),), 300),),
    prompts=(Prompt(T, 1, "k1", "job_1", "one"),),
    answers=(Answer(T, 1, "msg_1", "job_1", "answer one"),),
    within_ms=1_000,
)


def gone(*sightings: Sighting, faults: Sequence[Fault] = ()) -> History:
    """A session that nobody could read at its end."""
    return replace(PASSING, sightings=sightings, faults=faults, jobs=(), prompts=(), answers=())


def test_an_ephemeral_prompt_that_is_seen_to_end_holds() -> None:
    assert violations(PASSING) == []


def test_an_ephemeral_session_that_went_with_work_to_do_is_found() -> None:
    open_then_gone = (Sighting(T, "k1", 120, 220, "running", 1_000), Sighting(T, "k1", 230, 900, "gone", 1_000))
    assert invariants(gone(*open_then_gone)) == {"I1"}
    assert "went with its session before its end" in words(gone(*open_then_gone))


def test_an_ephemeral_session_may_go_when_nobody_asked_for_as_long_as_it_stays() -> None:
    late = (Sighting(T, "k1", 120, 220, "running", 1_000), Sighting(T, "k1", 1_300, 1_310, "gone", 1_000))
    assert violations(gone(*late)) == []


def test_an_ephemeral_session_may_be_lost_with_redis() -> None:
    flushed = Fault("Redis flushed", 150, 151, loses_redis=True)
    went = Sighting(T, "k1", 230, 240, "gone", 1_000)
    assert violations(gone(went, faults=(flushed,))) == []
    assert invariants(gone(went, faults=(replace(flushed, began=50, ended=60),))) == {"I1"}
    assert invariants(gone(went, faults=(replace(flushed, loses_redis=False),))) == {"I1"}


def test_an_ephemeral_prompt_that_nobody_saw_end_is_found() -> None:
    assert invariants(gone()) == {"I1"}
    assert "nobody saw it end" in words(gone(PASSING.sightings[0]))


def test_an_ephemeral_prompt_that_ends_too_late_is_found() -> None:
    assert "seen to end too late" in words(replace(PASSING, within_ms=200))


def test_an_ephemeral_answer_that_is_not_the_models_is_found() -> None:
    other = replace(PASSING, answers=(replace(PASSING.answers[0], text="something else"),))
    assert invariants(other) == {"I2"}


def test_an_answer_that_was_broken_off_is_found() -> None:
    half = broken(calls=lambda calls: (*calls[:2], replace(calls[2], how="half")))
    assert invariants(half) == {"I2"}
    assert "job_2 has succeeded with what was half" in words(half)


def test_places_and_times_that_disagree_are_found() -> None:
    before = broken(jobs=lambda jobs: (replace(jobs[0], created=101), replace(jobs[1], created=100)))
    assert invariants(before) == {"I3"}


def test_a_session_that_counts_wrongly_is_found() -> None:
    assert violations(replace(WHOLE, sessions=(KeptSession(S, 0),))) == []
    assert invariants(replace(WHOLE, sessions=(KeptSession(S, 1),))) == {"I1"}


def test_a_stream_that_tells_another_answer_is_found() -> None:
    assert violations(replace(WHOLE, assembled=(Assembled("c1", S, "msg_1", "answer one"),))) == []
    assert invariants(replace(WHOLE, assembled=(Assembled("c1", S, "msg_1", "answer"),))) == {"I7"}
    assert invariants(replace(WHOLE, assembled=(Assembled("c1", S, "msg_9", "answer"),))) == {"I7"}


def test_a_trace_of_ephemeral_content_is_found() -> None:
    assert invariants(replace(WHOLE, traces=(Trace("a log", "…marked…"),))) == {"I8"}


def test_a_refusal_that_does_not_say_when_to_come_again_is_found() -> None:
    blunt = broken(submissions=lambda given: (*given[:4], replace(given[4], retry_after=False)))
    assert invariants(blunt) == {"row 8"}
    failed = broken(submissions=lambda given: (*given[:4], replace(given[4], status=500)))
    assert invariants(failed) == {"row 8"}


def test_a_request_that_hangs_is_found() -> None:
    slow = broken(submissions=lambda given: (*given[:4], replace(given[4], ended=20_000)))
    assert invariants(slow) == {"row 6"}
    waits = broken(submissions=lambda given: (*given[:4], replace(given[4], ended=20_000, waited=True)))
    assert violations(waits) == []


def test_a_good_prompt_that_fails_is_found() -> None:
    assert violations(replace(WHOLE, wishes=(Wish(S, "k1", "plain"),))) == []
    assert invariants(replace(WHOLE, wishes=(Wish(S, "k1", "killing", ("failed",)),))) == {"row 9"}


def test_poison_that_fails_after_more_or_fewer_attempts_than_allowed_is_found() -> None:
    charged = broken(jobs=lambda jobs: (replace(jobs[0], charges=3), jobs[1]))
    assert violations(replace(charged, wishes=(Wish(S, "k1", "plain", charges=3),))) == []
    assert invariants(replace(charged, wishes=(Wish(S, "k1", "plain", charges=2),))) == {"row 9"}


def test_a_retry_after_that_is_not_kept_is_found() -> None:
    history = broken(
        calls=lambda calls: (calls[0], replace(calls[1], retry_after_ms=90), calls[2]),
        jobs=lambda jobs: (
            jobs[0],
            replace(jobs[1], attempts=(replace(jobs[1].attempts[0], outcome="transient"), jobs[1].attempts[1])),
        ),
    )
    assert violations(history) == []
    early = replace(history, calls=(*history.calls[:1], replace(history.calls[1], retry_after_ms=91), history.calls[2]))
    assert invariants(early) == {"row 14"}


def test_a_worker_that_does_not_come_back_is_found() -> None:
    deaf = Fault("Redis killed", 100, 200, complaint="not all workers consuming within 30 s", row="row 4")
    assert invariants(replace(WHOLE, faults=(deaf,))) == {"row 4"}


def test_an_attempt_that_a_gentle_end_cost_is_found() -> None:
    assert invariants(replace(WHOLE, is_gentle=True)) == {"row 12"}


def test_a_prompt_that_nobody_cancelled_is_found() -> None:
    cancelled = broken(
        jobs=lambda jobs: (replace(jobs[0], state="cancelled"), jobs[1]),
        looks=lambda looks: looks[:1],
        answers=lambda answers: (replace(answers[0], failed=True), answers[1]),
        calls=lambda calls: tuple(replace(call, shown=()) for call in calls),
    )
    assert violations(replace(cancelled, wishes=(Wish(S, "k1", "fickle", ("succeeded", "cancelled")),))) == []
    assert "row 12" in invariants(replace(cancelled, wishes=(Wish(S, "k2", "plain"),)))
