"""`promptq status`: the fleet on one screen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cli.commands.options import AsJson, Url
from cli.commands.printing import Column, is_for_people, out, print_facts, print_json, print_rows
from cli.exits import remark
from cli.moments import span

if TYPE_CHECKING:
    from cli.client import Json

_BAR = 24

_WORKERS = (
    Column("worker", gives_way=True),
    Column("state"),
    Column("slots", justify="right"),
    Column("used", justify="right"),
    Column("done last minute", justify="right"),
    Column("up", justify="right"),
    Column("heard", justify="right"),
)
_LONGEST = (
    Column("waits for a slot", gives_way=True),
    Column("session", gives_way=True),
    Column("tenant", gives_way=True),
    Column("priority", justify="right"),
    Column("for", justify="right"),
)


def status(url: Url = None, *, as_json: AsJson = False) -> None:
    """Show the fleet: workers, slots, what waits and for what, over all tenants.

    It takes the server's password (PROMPTQ_PASSWORD) or the one for metrics (PROMPTQ_METRICS_PASSWORD), and no key.
    Where stdout is no terminal, facts, workers and the jobs that have waited longest are lines of tab-separated cells.
    """
    from cli.client import Client
    from cli.server_address import find_server_for_operator

    with Client(find_server_for_operator(url), notice=remark) as client:
        found = client.status()
    if as_json:
        print_json(found)
        return
    print_facts(_facts(found, client.server.url))
    _section(_WORKERS, "worker", map(_worker, found["workers"]))
    _section(_LONGEST, "waiting", map(_longest, found["longest"]))


def _section(columns: tuple[Column, ...], kind: str, rows: Iterable[tuple[str, ...]]) -> None:
    """Print a table for people, or lines that begin with what they are of."""
    listed = list(rows)
    if not listed:
        return
    if is_for_people():
        out("")
        print_rows(columns, listed, empty="")
    else:
        print_rows(columns, [(kind, *row) for row in listed], empty="")


def _facts(found: Json, url: str) -> list[tuple[str, str]]:
    slots, minute = found["slots"], found["minute"]
    facts = [("promptq", f"{found['version']} at {url}")]
    facts += [("away", name) for name in found["degraded"]]
    facts.append(("slots", _bar(slots["used"], slots["total"]) + f"{slots['used']} of {slots['total']} used"))
    for kind, jobs in found["jobs"].items():
        waiting = jobs["waiting"]
        reasons = (
            (waiting["worker"], "for a slot"),
            (waiting["time"], "for a time"),
            (waiting["session"], "for an earlier prompt"),
        )
        why = ", ".join(f"{number:,} {reason}" for number, reason in reasons if number)
        queued = f"{jobs['queued']:,} queued" + (f" ({why})" if why else "")
        facts.append((kind, f"{jobs['running']:,} running, {queued}"))
    oldest = max((jobs["oldestReady"] for jobs in found["jobs"].values()), default=0.0)
    facts.append(("longest", f"{_span(oldest)} for a slot" if oldest else "nobody waits for a slot"))
    facts.append(
        (
            "last minute",
            f"{minute['started']:,} started, {minute['succeeded']:,} succeeded, {minute['unsuccessful']:,} did not",
        )
    )
    return facts


def _bar(used: int, total: int) -> str:
    if not is_for_people() or not total:
        return ""
    filled = min(_BAR, round(_BAR * used / total)) or (1 if used else 0)
    return "█" * filled + "░" * (_BAR - filled) + "  "


def _worker(worker: Json) -> tuple[str, ...]:
    minute = worker["minute"]
    return (
        worker["name"],
        worker["state"],
        str(worker["slots"]),
        str(worker["used"]),
        str(minute["succeeded"] + minute["unsuccessful"]),
        _span(worker["up"]),
        f"{_span(worker['seen'])} ago",
    )


def _longest(job: Json) -> tuple[str, ...]:
    return job["jobID"], job["sessionID"], job["tenant"], str(job["priority"]), _span(job["readyFor"])


def _span(seconds: float) -> str:
    return span(round(seconds * 1000))
