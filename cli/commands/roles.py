"""`promptq api`, `worker`, `flower` and `migrate`: this process becomes the role, as containers want it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from domain.settings import Settings


def api(
    host: Annotated[
        str | None, typer.Option(help="Address; one that others reach needs keys or PROMPTQ_PASSWORD.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535)] = None,
) -> None:
    """Serve the HTTP API."""
    from cli import roles
    from cli.environment import read_settings

    roles.become(roles.api(read_settings(host=host, port=port), dict(os.environ)))


def worker(
    name: Annotated[str | None, typer.Option(help="Its name; no two workers have the same.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Prompts that it runs at once.")] = None,
    drain: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Start none; have this one, wherever it runs, finish what it has, and end with 0."
        ),
    ] = None,
    grace: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="With --drain: how long prompts that run may take; then they are given back. Default: its own"
            " PROMPTQ_GRACE.",
        ),
    ] = None,
) -> None:
    """Answer prompts; or, with --drain, have a worker stop doing so."""
    from cli import roles
    from cli.environment import read_settings
    from cli.refusal import Refusal

    if drain is not None:
        if name is not None or concurrency is not None:
            raise Refusal("--drain starts no worker, so it takes neither --name nor --concurrency.", exit_code=2)
        roles.become(roles.drain(_settings_of_up(), dict(os.environ), name=drain, grace_s=grace))
    if grace is not None:
        raise Refusal("--grace is for --drain; a worker's own is PROMPTQ_GRACE.", exit_code=2)
    settings = read_settings(concurrency=concurrency)
    roles.become(roles.worker(settings, dict(os.environ), name=name or f"worker-{os.getpid()}"))


def _settings_of_up() -> "Settings":
    """The settings; where they name no broker, that of the `promptq up` of the data directory."""
    from cli import running, valkey
    from cli.environment import read_settings

    settings = read_settings()
    up = running.find(settings.data_dir) if settings.broker is None else None
    if up is None or up.socket is None:
        return settings
    return read_settings(redis_url=valkey.url_of(Path(up.socket)))


def flower(
    host: Annotated[str | None, typer.Option(help="Address; one that others reach needs PROMPTQ_PASSWORD.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535)] = None,
) -> None:
    """Serve Flower, which shows workers and attempts."""
    from cli import roles
    from cli.environment import read_settings

    roles.become(roles.flower(read_settings(host=host, flower_port=port), dict(os.environ)))


def migrate() -> None:
    """Bring the database to this version."""
    from cli import roles
    from cli.environment import read_settings

    roles.become(roles.migrate(read_settings(), dict(os.environ)))
