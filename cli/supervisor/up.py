"""`promptq up`: what is started, in which order, and what is told."""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from cli import roles, running, valkey
from cli.doors import refuse_open_api, refuse_open_flower
from cli.environment import read_configuration, remarks_on
from cli.refusal import Refusal
from cli.running import Running
from cli.supervisor import banner, probes, records
from cli.supervisor.child import Child
from cli.supervisor.logs import Log
from cli.supervisor.ports import settle_ports
from cli.supervisor.processes import end, identify
from cli.supervisor.supervisor import StopAskedError, Supervisor
from cli.supervisor.voice import JsonVoice, Voice

if TYPE_CHECKING:
    from domain.settings import Settings

#: Under `up` a stop is over within seconds, unless PROMPTQ_GRACE says otherwise: what is cut off runs again later.
GRACE_S = 5.0

#: Added to a child's own time to stop before it is killed.
_MARGIN_S = 5.0

#: How long what a killed supervisor left behind may take to end.
_LEFTOVER_PATIENCE_S = 2.0

_READY_WITHIN_S = 60.0

#: Lines of the migration that are looked through for what the operator should know.
_MIGRATE_LINES = 5


@dataclass(frozen=True)
class Wishes:
    """What `promptq up` was asked for, besides the settings."""

    workers: int = 1
    with_flower: bool = True
    quiet: bool = False
    #: Whether it was started by `promptq run`, and is nobody's but the runs'.
    for_runs: bool = False
    #: Asked twice a second; it stops once this says yes.
    until: Callable[[], bool] = lambda: False


def up(settings: "Settings", wishes: Wishes) -> int:
    """Start everything, keep it running until a signal, stop everything.

    Returns:
        The exit code.

    Raises:
        Refusal: something is in the way; nothing is left running.
    """
    speaks = JsonVoice if settings.log_format == "json" else Voice
    voice = speaks(Console(highlight=False), quiet=wishes.quiet)
    configuration = read_configuration(settings)
    refuse_open_api(settings, configuration)
    if wishes.with_flower:
        refuse_open_flower(settings, configuration)
    for remark in remarks_on(os.environ):
        voice.warn(remark)
    directory = records.prepare(settings.data_dir)
    settings = settings.model_copy(update={"data_dir": directory, "grace": _grace(settings)})
    with ExitStack() as stack:
        lock = records.DirectoryLock.take(directory)
        stack.callback(lock.release)
        _end_leftovers(directory, voice)
        api_port, flower_port = settle_ports(
            settings.host, settings.port, settings.flower_port if wishes.with_flower else None
        )
        settings = settings.model_copy(
            update={"port": api_port, "flower_port": settings.flower_port if flower_port is None else flower_port}
        )
        lock.describe({"pid": os.getpid(), "url": _url(settings.host, api_port), "for_runs": wishes.for_runs})
        return _Up(settings, wishes, voice, stack, keyed=bool(configuration.keys)).run()


class _Up:
    """One run, from the lock to the last child's end."""

    def __init__(self, settings: "Settings", wishes: Wishes, voice: Voice, stack: ExitStack, *, keyed: bool) -> None:
        self._settings = settings
        self._keyed = keyed
        self._wishes = wishes
        self._voice = voice
        self._stack = stack
        self._directory = settings.data_dir
        self._logs = self._directory / "logs"
        self._logs.mkdir(mode=0o700, exist_ok=True)
        self._supervisor = Supervisor(voice, on_change=self._changed)
        self._socket: str | None = None
        self._valkey: list[Child] = []
        self._workers: list[Child] = []
        self._servers: list[Child] = []
        self._is_ready = False

    def run(self) -> int:
        with self._supervisor.listening():
            try:
                self._start()
                self._supervisor.watch(self._wishes.until)
            except StopAskedError:
                self._voice.stopping("Stopping; Ctrl-C again hurries.")
            finally:
                running.withdraw(self._directory)
                # New prompts first, then those who run them, at last what they talk over.
                self._supervisor.stop(self._servers, self._workers, self._valkey)
                (self._directory / records.CHILDREN).unlink(missing_ok=True)
        self._voice.say("Stopped. What was not finished goes on at the next start.")
        return self._supervisor.exit_code

    def _start(self) -> None:
        embedded = self._settings.redis is None
        if embedded:
            self._start_valkey()
        self._voice.starting("Bringing the database up to date")
        base = dict(os.environ)
        log = self._log("migrate")
        self._supervisor.finish(roles.migrate(self._settings, base), log)
        for line in log.last_lines(_MIGRATE_LINES):
            _, _, warning = line.partition("warning: ")
            if warning:
                self._voice.warn(warning)
        self._voice.starting(
            "Starting API, worker and Flower" if self._wishes.with_flower else "Starting API and worker"
        )
        self._workers = [self._worker(number, base) for number in range(1, self._wishes.workers + 1)]
        self._servers = [self._api(base), *([self._flower(base)] if self._wishes.with_flower else [])]
        self._supervisor.start(*self._servers, *self._workers, within_s=_READY_WITHIN_S)
        self._is_ready = True
        self._changed(self._supervisor.children)
        self._voice.banner(
            banner.compose(
                self._settings,
                self._running(),
                embedded=embedded,
                keyed=self._keyed,
                workers=self._wishes.workers,
                logs=self._logs,
                columns=self._voice.columns,
            ),
            asdict(self._running()),
        )

    def _start_valkey(self) -> None:
        try:
            program = valkey.find_server()
            socket, made = valkey.socket_for(self._directory)
        except valkey.ValkeyMissingError as error:
            raise Refusal(str(error)) from error
        if made is not None:
            self._stack.callback(lambda: _remove(made, socket))
        self._socket = str(socket)
        socket.unlink(missing_ok=True)
        self._voice.starting(f"Starting an embedded Valkey ({program.name})")
        role = roles.Role("valkey", tuple(valkey.command(program, socket)), dict(os.environ))
        child = Child(role, self._log("valkey"), is_up=probes.valkey_answers(socket), patience_s=3)
        self._valkey = [child]
        self._supervisor.start(child, within_s=10)
        url = type(self._settings).model_validate({"redis_url": valkey.url_of(socket)}).redis_url
        self._settings = self._settings.model_copy(update={"redis_url": url})

    def _api(self, base: dict[str, str]) -> Child:
        return Child(
            roles.api(self._settings, base),
            self._log("api"),
            is_up=probes.http_answers(self._settings.host, self._settings.port, "/healthz"),
            patience_s=roles.API_GRACE_S + _MARGIN_S,
        )

    def _flower(self, base: dict[str, str]) -> Child:
        return Child(
            roles.flower(self._settings, base),
            self._log("flower"),
            is_up=probes.http_answers(self._settings.host, self._settings.flower_port, "/"),
            patience_s=2,
        )

    def _worker(self, number: int, base: dict[str, str]) -> Child:
        name = "worker" if self._wishes.workers == 1 else f"worker{number}"
        settings = self._settings
        if settings.metrics_port is not None:  # each has its own, one after the other
            settings = settings.model_copy(update={"metrics_port": settings.metrics_port + number - 1})
        return Child(
            roles.worker(settings, base, name=name),
            self._log(name),
            is_up=probes.worker_says_so,
            patience_s=self._settings.grace + _MARGIN_S,
            orphan_signal=signal.SIGTERM,  # so that it gives back what it runs: nothing waits for the end of a lease
            may_finish=True,  # it was drained
        )

    def _log(self, name: str) -> Log:
        log = Log(self._logs / f"{name}.log")
        log.rotate()
        return log

    def _changed(self, children: list[Child]) -> None:
        records.remember_children(self._directory, [child.identity for child in children if child.identity])
        if self._is_ready:
            running.publish(self._directory, self._running())

    def _running(self) -> Running:
        me = identify(os.getpid())
        return Running(
            pid=os.getpid(),
            started=me.started if me else "",
            url=_url(self._settings.host, self._settings.port),
            flower=_url(self._settings.host, self._settings.flower_port) if self._wishes.with_flower else None,
            data_dir=str(self._directory),
            socket=self._socket,
            children={child.name: child.pid for child in self._supervisor.children if child.pid is not None},
            for_runs=self._wishes.for_runs,
        )


def _grace(settings: "Settings") -> float:
    return settings.grace if "grace" in settings.model_fields_set else GRACE_S


def _url(host: str, port: int) -> str:
    name = probes.reachable(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _end_leftovers(directory: Path, voice: Voice) -> None:
    """End the children of a supervisor that was killed, where the system has not done so already."""
    left = end(records.recall_children(directory), patience_s=_LEFTOVER_PATIENCE_S)
    if left:
        count = "one process" if len(left) == 1 else f"{len(left)} processes"
        voice.say(f"The last run was cut off; {count} that it left behind ended.")
    running.withdraw(directory)


def _remove(directory: Path, socket: Path) -> None:
    with suppress(OSError):
        socket.unlink(missing_ok=True)
        directory.rmdir()
