"""`promptq api`, `worker`, `flower` and `migrate`: this process becomes the role, as containers want it."""

import os
from typing import Annotated

import typer


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
) -> None:
    """Answer prompts."""
    from cli import roles
    from cli.environment import read_settings

    settings = read_settings(concurrency=concurrency)
    roles.become(roles.worker(settings, dict(os.environ), name=name or f"worker-{os.getpid()}"))


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
