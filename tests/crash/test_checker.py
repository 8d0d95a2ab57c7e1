"""The checker is shown histories that are whole, and the same histories broken in one place each."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.checker import assert_holds, violations
from tests.support.history import Answer, Attempt, Call, History, Job, Look, Prompt, Seen, Submission

S = "ses_a"
FIRST = ("one", "answer one")
SECOND = ("two", "answer two")

#: Two prompts of one session, one after another; the second lost its first worker.
WHOLE = History(
    submissions=(
        Submission("c1", S, "k1", 100, 110, 204, "job_1"),
        Submission("c1", S, "k2", 120, 125, None),
        Submission("c1", S, "k2", 130, 480, 200, "job_2", "answer two"),
        Submission("c2", S, "k1", 105, 112, 204, "job_1"),
        Submission("c2", S, "k3", 115, 118, 503, retry_after=True),
    ),
    calls=(
        Call(S, "job_1", 1, 121, "one", (), "answer one"),
        Call(S, "job_2", 1, 151, "two", (FIRST,), "stale"),
        Call(S, "job_2", 2, 401, "two", (FIRST,), "answer two"),
    ),
    looks=(
        Look(130, (Seen("job_1", S, "running", 1, "w1", 200), Seen("job_2", S, "queued", 0))),
        Look(160, (Seen("job_1", S, "succeeded", 1), Seen("job_2", S, "running", 1, "w1", 300))),
        Look(410, (Seen("job_1", S, "succeeded", 1), Seen("job_2", S, "running", 2, "w2", 500))),
    ),
    jobs=(
        Job("job_1", S, 1, "succeeded", 1, (Attempt(1, 120, 150, "succeeded"),), 150),
        Job("job_2", S, 2, "succeeded", 2, (Attempt(1, 150, 310, "lost"), Attempt(2, 400, 470, "succeeded")), 470),
    ),
    prompts=(Prompt(S, 1, "k1", "job_1", "one"), Prompt(S, 2, "k2", "job_2", "two")),
    answers=(Answer(S, 1, "msg_1", "job_1", "answer one"), Answer(S, 2, "msg_2", "job_2", "answer two")),
    last_fault=300,
    within_ms=1_000,
)


def test_a_whole_history_holds() -> None:
    assert violations(WHOLE) == []
    assert violations(History()) == []


def test_a_failed_turn_is_not_shown_to_the_model() -> None:
    failed = broken(
        jobs=lambda jobs: (replace(jobs[0], state="failed"), jobs[1]),
        looks=lambda looks: looks[:1],
        answers=lambda answers: (replace(answers[0], failed=True, text=""), answers[1]),
    )
    assert invariants(failed) == {"I3"}
    assert violations(replace(failed, calls=tuple(replace(call, shown=()) for call in failed.calls))) == []


def test_a_prompt_that_was_kept_and_is_not_there_is_found() -> None:
    lost = broken(
        jobs=lambda jobs: jobs[:1],
        prompts=lambda prompts: prompts[:1],
        answers=lambda answers: answers[:1],
        calls=lambda calls: calls[:1],
    )
    assert invariants(lost) == {"I1", "I2"}
    assert "('ses_a', 'k2') was answered 2xx, and the store does not have it" in words(lost)


def test_a_prompt_that_never_ends_is_found() -> None:
    stuck = broken(
        jobs=lambda jobs: (jobs[0], replace(jobs[1], state="running", ended=None, attempts=jobs[1].attempts[:1])),
        answers=lambda answers: answers[:1],
        submissions=lambda submissions: (*submissions[:2], replace(submissions[2], answer=None)),
    )
    assert invariants(stuck) == {"I1"}
    assert "k2') was answered 2xx, and is running at the end" in words(stuck)


def test_a_prompt_that_ends_too_late_is_found() -> None:
    promised_early = broken(submissions=lambda submissions: (replace(submissions[2], ended=140, answer=None),))
    assert violations(replace(promised_early, within_ms=170, last_fault=300)) == []
    late = replace(promised_early, within_ms=169, last_fault=300)
    assert invariants(late) == {"I1"}
    assert "k2') ended 1 ms too late" in words(late)
    assert violations(replace(late, last_fault=301)) == []


def test_an_end_without_an_assistant_message_is_found() -> None:
    mute = broken(
        answers=lambda answers: answers[:1],
        submissions=lambda submissions: (*submissions[:2], replace(submissions[2], answer=None)),
    )
    assert invariants(mute) == {"I1"}


@pytest.mark.parametrize("after", ["failed", "running"])
def test_a_last_state_that_changes_is_found(after: str) -> None:
    changed = broken(looks=lambda looks: (*looks, Look(420, (Seen("job_1", S, after, 1, "w1", 410),))))
    assert "I1" in invariants(changed)


def test_two_answers_to_a_prompt_are_found() -> None:
    twice = broken(answers=lambda answers: (*answers, replace(answers[1], id="msg_3", text="stale")))
    assert "I2" in invariants(twice)
    assert "has 2 answers" in words(twice)


def test_an_answer_of_an_attempt_that_had_lost_its_lease_is_found() -> None:
    stale = broken(
        answers=lambda answers: (answers[0], replace(answers[1], text="stale")),
        submissions=lambda submissions: (*submissions[:2], replace(submissions[2], answer="stale")),
    )
    assert invariants(stale) == {"I2"}
    assert "job_2 has an answer that its last attempt was not given" in words(stale)


def test_an_answer_told_that_is_not_the_one_kept_is_found() -> None:
    told = broken(submissions=lambda submissions: (*submissions, replace(submissions[2], answer="another")))
    assert invariants(told) == {"I2"}


def test_places_that_are_not_in_the_order_of_the_requests_are_found() -> None:
    swapped = broken(
        submissions=lambda submissions: (
            replace(submissions[0], sent=135, ended=140),
            replace(submissions[2], sent=100, ended=110, answer=None),
        )
    )
    assert invariants(swapped) == {"I3"}
    assert "k1 came after k2 and stands before it" in words(swapped)


def test_answers_that_are_committed_out_of_order_are_found() -> None:
    swapped = broken(
        jobs=lambda jobs: (replace(jobs[0], seq=2), replace(jobs[1], seq=1)),
        submissions=lambda _: (),
    )
    assert {"I3"} <= invariants(swapped)
    assert "committed out of order" in words(swapped)
    assert "attempts in ses_a were out of order" in words(swapped)


@pytest.mark.parametrize(
    "shown",
    [(), (("one", "another answer"),), (SECOND, FIRST), (FIRST, FIRST)],
    ids=["nothing", "another", "a later turn", "a turn twice"],
)
def test_a_model_that_was_not_shown_what_is_committed_is_found(shown: tuple[tuple[str, str], ...]) -> None:
    assert invariants(broken(calls=lambda calls: (*calls[:2], replace(calls[2], shown=shown)))) == {"I3"}


def test_a_question_about_a_job_that_does_not_exist_is_found() -> None:
    unknown = broken(calls=lambda calls: (*calls, Call(S, "job_9", 1, 200, "nine", (), "nine")))
    assert invariants(unknown) == {"I3"}


def test_two_holders_by_the_record_are_found() -> None:
    both = broken(
        jobs=lambda jobs: (
            jobs[0],
            replace(jobs[1], attempts=(Attempt(1, 150, 401, "lost"), jobs[1].attempts[1])),
        )
    )
    assert invariants(both) == {"I4"}
    assert "ses_a had two holders from 400 to 401" in words(both)


def test_two_holders_at_one_look_are_found() -> None:
    both = broken(
        looks=lambda looks: (
            Look(130, (Seen("job_1", S, "running", 1, "w1", 200), Seen("job_2", S, "running", 1, "w2", 200))),
            *looks[1:],
        )
    )
    assert "I4" in invariants(both)
    assert "ses_a had 2 valid leases at 130" in words(both)


def test_a_lease_that_has_run_out_is_nobodys() -> None:
    over = broken(
        looks=lambda looks: (
            Look(200, (Seen("job_1", S, "running", 1, "w1", 200), Seen("job_2", S, "running", 1, "w1", 210))),
            *looks[1:],
        )
    )
    assert violations(over) == []


def test_an_attempt_that_two_workers_hold_is_found() -> None:
    shared = broken(looks=lambda looks: (*looks, Look(420, (Seen("job_2", S, "running", 2, "w3", 500),))))
    assert invariants(shared) == {"I4"}


def test_an_attempt_that_asks_twice_is_found() -> None:
    assert invariants(broken(calls=lambda calls: (*calls, calls[2]))) == {"I4"}


def test_an_attempt_number_that_goes_back_is_found() -> None:
    back = broken(looks=lambda looks: (*looks, Look(420, (Seen("job_2", S, "running", 1, "w1", 500),))))
    assert invariants(back) == {"I5"}
    assert "job_2 went back to attempt 1" in words(back)


def test_a_question_beyond_the_last_attempt_is_found() -> None:
    beyond = broken(calls=lambda calls: (*calls, replace(calls[2], attempt=3)))
    assert invariants(beyond) == {"I5"}


def test_an_attempt_that_the_record_has_twice_is_found() -> None:
    twice = broken(jobs=lambda jobs: (jobs[0], replace(jobs[1], attempts=(*jobs[1].attempts[:1], *jobs[1].attempts))))
    assert "I5" in invariants(twice)


def test_a_key_that_was_told_two_jobs_is_found() -> None:
    two = broken(submissions=lambda submissions: (*submissions, replace(submissions[3], job="job_2")))
    assert invariants(two) == {"I6"}
    assert "('ses_a', 'k1') has the jobs job_1, job_2" in words(two)


def test_a_key_under_which_two_prompts_are_kept_is_found() -> None:
    two = broken(
        prompts=lambda prompts: (*prompts, Prompt(S, 3, "k1", "job_3", "one")),
        jobs=lambda jobs: (*jobs, Job("job_3", S, 3, "succeeded", 1, (Attempt(1, 480, 490, "succeeded"),), 490)),
        answers=lambda answers: (*answers, Answer(S, 3, "msg_3", "job_3", "answer three")),
        calls=lambda calls: (*calls, Call(S, "job_3", 1, 481, "one", (FIRST, SECOND), "answer three")),
    )
    assert "I6" in invariants(two)
    assert "('ses_a', 'k1') has the jobs job_1, job_3" in words(two)


def test_what_is_broken_is_told_with_its_evidence() -> None:
    with pytest.raises(AssertionError, match=r"(?s)1 violations \(seed 7\).*I4: .*Attempt\(number=1.*job_2"):
        assert_holds(
            replace(
                broken(
                    jobs=lambda jobs: (
                        jobs[0],
                        replace(jobs[1], attempts=(Attempt(1, 150, 401, "lost"), jobs[1].attempts[1])),
                    )
                ),
                note="seed 7",
            )
        )


def broken(**changes: Callable[..., object]) -> History:
    """The whole history, with some of its sides changed."""
    return replace(WHOLE, **{name: change(getattr(WHOLE, name)) for name, change in changes.items()})  # type: ignore[arg-type]


def invariants(history: History) -> set[str]:
    return {violation.invariant for violation in violations(history)}


def words(history: History) -> str:
    return "\n".join(map(str, violations(history)))
