"""`promptq job …`: look at jobs, wait for them, cancel them, try them anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.options import AsJson, Limit, Url, WaitTimeout, connect
from cli.commands.printing import Column, out, print_facts, print_json, print_rows, when, when_briefly
from cli.commands.waiting import answer_of, progress, report, wait_until_ended
from cli.moments import span
from domain.ids import new_id
from domain.jobs import State

if TYPE_CHECKING:
    from cli.client import Json

app = typer.Typer(no_args_is_help=True, help="Look at jobs, wait for them, cancel them, try them anew.")

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's ID, 'job_…'.")]

_COLUMNS = (
    Column("job"),
    Column("session", gives_way=True),
    Column("state"),
    Column("attempts", justify="right"),
    Column("created"),
    Column("took", justify="right"),
)


@app.command("list")
def list_(
    *,
    state: Annotated[list[State] | None, typer.Option(help="Only jobs in this state; may be given again.")] = None,
    session: Annotated[str | None, typer.Option(metavar="SESSION", help="Only jobs of this session.")] = None,
    limit: Limit = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, the newest first.

    Where stdout is no terminal, each is a line of tab-separated job ID, session ID, state, attempts, creation time
    and how long it ran.
    """
    with connect(url) as client:
        jobs = client.jobs(limit=limit, states=tuple(state or ()), session_id=session)
    if as_json:
        print_json(jobs)
    else:
        print_rows(_COLUMNS, map(_row, jobs), empty="no jobs")


@app.command()
def show(job: JobId, *, url: Url = None, as_json: AsJson = False) -> None:
    """Show a job: its state, what it waits for, its attempts, usage and error."""
    with connect(url) as client:
        found = client.job(job)
    if as_json:
        print_json(found)
    else:
        print_facts(_facts(found))


@app.command()
def cancel(job: JobId, *, url: Url = None, as_json: AsJson = False) -> None:
    """Ask a job to end, and print the state it is in now.

    A queued job is cancelled at once, a running one within about a second ('promptq job wait' sees it end); one that
    has ended stays as it is.
    """
    with connect(url) as client:
        found = client.cancel(job)
    if as_json:
        print_json(found)
    else:
        out(str(found["state"]))


@app.command()
def retry(job: JobId, *, url: Url = None, as_json: AsJson = False) -> None:
    """Try a failed, cancelled or expired job anew, as a new job at the end of its session; print the new job's ID."""
    with connect(url) as client:
        found = client.retry(job, idempotency_key=new_id("retry"))
    if as_json:
        print_json(found)
    else:
        out(str(found["id"]))


@app.command()
def wait(job: JobId, *, wait_timeout: WaitTimeout = None, url: Url = None, as_json: AsJson = False) -> None:
    """Wait until a job has ended, and print its answer; exit as 'promptq prompt' does."""
    with connect(url) as client:
        found = wait_until_ended(client, job, timeout_s=wait_timeout)
        report(found, answer_of(client, found), as_json=as_json)


def _row(job: Json) -> tuple[str, ...]:
    return (
        job["id"],
        job["sessionID"],
        job["state"],
        str(job["attempt"]),
        when_briefly(job["time"]["created"]),
        _took(job),
    )


def _took(job: Json) -> str:
    started, ended = job["time"].get("started"), job["time"].get("ended")
    return "-" if started is None or ended is None else span(ended - started)


def _attempts(job: Json) -> str:
    charged = f"{job['charges']} of {job['maxAttempts']} charged"
    return f"{job['attempt']} ({charged}: those that failed, not those that a restart cut off)"


def _facts(job: Json) -> list[tuple[str, str]]:
    time = job["time"]
    facts = [
        ("job", job["id"]),
        ("session", job["sessionID"]),
        ("message", job["messageID"]),
        ("answer", job.get("assistantID") or "-"),
        ("state", progress(job) if State(job["state"]).is_open else job["state"]),
        ("model", job["model"]),
        ("priority", str(job["priority"])),
        ("attempts", _attempts(job)),
    ]
    for name, key in (("not before", "notBefore"), ("expires at", "expiresAt")):
        if time.get(key) is not None:
            facts.append((name, when(time[key])))
    facts += [(name, when(time.get(name))) for name in ("created", "started", "ended")]
    facts.append(("took", _took(job)))
    if job.get("usage"):
        facts.append(("tokens", f"{job['usage'].get('input', 0)} in, {job['usage'].get('output', 0)} out"))
    if job.get("error"):
        facts.append(("error", f"{job['error']['code']}: {job['error']['message']}"))
    if job.get("retryOf"):
        facts.append(("retry of", job["retryOf"]))
    for attempt in job.get("attempts", ()):
        ended = attempt.get("ended")
        took = f" after {span(ended - attempt['started'])}" if ended is not None else ""
        outcome = f"{attempt.get('outcome') or 'running'}{took}"
        facts.append((f"attempt {attempt['number']}", f"{when(attempt['started'])}, {outcome}, on {attempt['worker']}"))
    return facts
