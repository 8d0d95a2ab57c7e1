"""What must be true after the demo: every answer there, once, in order. Values from the API in, complaints out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from cli.commands.waiting import text_of
from cli.demo.prompts import Line, by_session, short

if TYPE_CHECKING:
    from cli.client import Json


def answers(lines: Sequence[Line], messages: Mapping[str, list[Json]]) -> list[str]:
    """Check what each session holds: each prompt and its answer, once, in the file's order; echo repeats the prompt."""
    complaints = []
    for session, prompts in by_session(lines).items():
        kept = messages[session]
        if [message["info"]["role"] for message in kept] != ["user", "assistant"] * len(prompts):
            complaints.append(f"{short(session)}: {len(prompts)} prompts, but {len(kept)} messages, or not in turns")
            continue
        for line, said, answered in zip(prompts, kept[::2], kept[1::2], strict=True):
            if said["info"]["id"] != line.message_id:
                complaints.append(f"{short(session)}: {said['info']['id']} is where {line.message_id} should be")
            elif answered["info"].get("parentID") != line.message_id:
                complaints.append(f"{short(session)}: what follows {line.message_id} is not its answer")
            elif answered["info"].get("error") or text_of(answered) != line.prompt:
                complaints.append(f"{short(session)}: {line.message_id} has no answer, or a wrong one")
    return complaints


def order(jobs: Sequence[Json]) -> list[str]:
    """Check that all succeeded and that in each session each began after the one before it had ended."""
    complaints = [f"{job['id']} is {job['state']}" for job in jobs if job["state"] != "succeeded"]
    if complaints:
        return complaints
    sessions: dict[str, list[Json]] = {}
    for job in sorted(jobs, key=lambda job: int(job["seq"])):
        sessions.setdefault(job["sessionID"], []).append(job)
    for session, turns in sessions.items():
        for before, after in pairwise(turns):
            if after["time"]["started"] < before["time"]["ended"]:
                complaints.append(f"{short(session)}: {after['messageID']} began before {before['messageID']} ended")
    return complaints


def once(accepted: Sequence[str | None], jobs: Sequence[Json]) -> list[str]:
    """Check that each prompt became one job of its own, and that there are no others."""
    named = {str(job_id) for job_id in accepted}
    if len(named) != len(accepted) or named != {job["id"] for job in jobs}:
        return [f"{len(accepted)} prompts became {len(jobs)} jobs"]
    return []


def unchanged(
    before: tuple[Sequence[Json], Mapping[str, list[Json]]], after: tuple[Sequence[Json], Mapping[str, list[Json]]]
) -> list[str]:
    """Check that a second pass left jobs and messages exactly as they were."""
    complaints = []
    if before[0] != after[0]:
        complaints.append(f"the second pass changed the jobs ({len(before[0])} before, {len(after[0])} after)")
    if before[1] != after[1]:
        complaints.append("the second pass changed the sessions' messages")
    return complaints
