"""Callers of ephemeral sessions: they see each prompt to its end, and read what their session holds before it goes."""

from dataclasses import replace
from typing import Any

from domain.clock import millis, system_clock
from tests.crash.executor import text_of
from tests.faults.caller import Caller, Load
from tests.faults.prompts import Asked
from tests.support.history import Answer, Attempt, Job, Prompt, Sighting, Submission

#: Longer than any outage of a run that is not Redis's own, shorter than a round.
TTL_S = 10

#: The last prompt of some sessions waits for longer than that: a session stays while it has work.
LATER_S = TTL_S + 4

LOOK_S = 1


def passers(load: Load, name: str) -> None:
    """Use one ephemeral session after another."""
    caller = Caller(load, name)
    number = 0
    while not caller.is_enough:
        session = f"ses_tmp_{load.round}_{name}x{number}"
        count = caller.chance.randint(1, 4)
        more: dict[str, object] = {"marker": load.marker, "ttl_s": TTL_S, "waits": False}
        prompts = [caller.asked(session, place, **more) for place in range(count)]
        if caller.chance.random() < 0.15:
            prompts[-1] = replace(prompts[-1], not_before=system_clock() + millis(LATER_S))
        done = {wanted.key: (wanted, caller.until_kept(wanted)) for wanted in prompts}
        states = [see_to_end(caller, wanted, kept) for wanted, kept in done.values()]
        if "gone" not in states:
            read_out(caller, session, {kept.job or "": wanted for wanted, kept in done.values()})
        caller.rest()
        number += 1


def see_to_end(caller: Caller, wanted: Asked, kept: Submission) -> str:
    """Ask for a job until it has ended, or is not there any more."""
    while True:
        sent = system_clock()
        answer = caller.connection.request("GET", f"/job/{kept.job}/wait?timeout={LOOK_S}")
        state = "unknown"
        if answer is not None and answer.status == 404:
            state = "gone"
        elif answer is not None and answer.status == 200:
            state = answer.json()["state"]
        if state != "unknown":
            seen = Sighting(wanted.session, wanted.key, sent, system_clock(), state, millis(TTL_S))
            caller.load.records.write(seen)
            if seen.is_terminal or seen.is_gone:
                return state
        else:
            caller.load.enough.wait(0.1)


def read_out(caller: Caller, session: str, keys: dict[str, Asked]) -> None:
    """Write down what a session holds, in the words of the store; nothing if it cannot be read whole."""
    jobs = caller.connection.request("GET", f"/job?sessionID={session}&ephemeral=true&limit=100")
    messages = caller.connection.request("GET", f"/session/{session}/message?limit=100")
    if jobs is None or messages is None or jobs.status != 200 or messages.status != 200:
        return
    there = {message["info"]["id"]: message for message in messages.json()}
    records: list[object] = []
    for job in jobs.json():
        prompt, answer = there.get(job["messageID"]), there.get(job.get("assistantID"))
        wanted = keys.get(job["id"])
        if prompt is None or answer is None:
            return
        key = wanted.key if wanted is not None else f"unknown key of {job['id']}"
        failed = "error" in answer["info"]
        records += [
            _job(job),
            Prompt(session, job["seq"], key, job["id"], text_of(prompt["parts"])),
            Answer(session, job["seq"], answer["info"]["id"], job["id"], text_of(answer["parts"]), failed),
        ]
    caller.load.records.write(*records)


def _job(shape: dict[str, Any]) -> Job:
    attempts = [
        Attempt(each["number"], each["started"], each["ended"], each["outcome"])
        for each in shape["attempts"]
        if "ended" in each and "outcome" in each
    ]
    times = shape["time"]
    return Job(
        shape["id"],
        shape["sessionID"],
        shape["seq"],
        shape["state"],
        shape["attempt"],
        attempts,
        times.get("ended"),
        shape.get("retryOf"),
        times["created"],
        shape["charges"],
    )
