"""Which server a run talks to: the one that is named, one that is up in the data directory, or one of the runs' own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli import running
from cli.called import typed
from cli.environment import read_settings
from cli.exits import CommandError
from cli.run.household import Host, lodging
from cli.server_address import ServerAddress, address_of, find_server
from cli.supervisor import records

if TYPE_CHECKING:
    from domain.settings import Settings

_ELSEWHERE = ("database_url", "redis_url", "broker_url")


@contextmanager
def attached(url: str | None, *, ephemeral: bool, host: Host) -> Iterator[ServerAddress]:
    """Have a server for the length of a block.

    A server of the runs' own keeps its sessions in the data directory. An ephemeral run needs none, and makes none: its
    server lives in a temporary directory, which goes with it.

    Raises:
        Refusal: there is no server, and none can be started.
    """
    if url:
        yield find_server(url)
        return
    settings = read_settings()
    directory = settings.data_dir.expanduser().absolute()
    if running.find(directory) is None:
        _refuse_to_start(settings)
    with (
        _directory(directory, host, ephemeral=ephemeral) as (place, temporary),
        lodging(place, temporary=temporary, host=host) as up,
    ):
        yield address_of(up.url, str(place / running.NAME))


@contextmanager
def _directory(directory: Path, host: Host, *, ephemeral: bool) -> Iterator[tuple[Path, bool]]:
    """Return the directory of the server, and whether it is only for now."""
    if directory.is_dir():
        yield directory, False
    elif ephemeral:
        temporary = Path(tempfile.mkdtemp(prefix="promptq-run-"))
        try:
            yield temporary, True
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    else:
        records.prepare(directory)
        host.notice(f"the session is kept in {directory} (PROMPTQ_DATA_DIR names another place).")
        yield directory, False


def _refuse_to_start(settings: Settings) -> None:
    """Start nothing beside a fleet: a worker of ours would take its prompts.

    Raises:
        CommandError: the settings name what others work on.
    """
    for name in _ELSEWHERE:
        if getattr(settings, name) is not None:
            raise CommandError(
                f"PROMPTQ_{name.upper()} is set, so there may be others at work, and no server is started for this run "
                f"alone: name theirs with --attach, or start one with {typed('up')}."
            )
