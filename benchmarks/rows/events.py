"""Live events: a thousand clients of one API process, what reaches them, how late, and what they cost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.figures import Line, Report, Sample, Scale
from benchmarks.ground import Ground, Place
from benchmarks.listeners import Crowd, Heard, Listeners
from benchmarks.weighing import settled_kb
from domain.events import Bundle, part_delta
from domain.sessions import Creation, Session
from storage.notices import Notices

TENANT = "default"
TICK_S = 0.05
"""What an answer grows by is told twenty times a second."""

_SETTLE_S = 1.0
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Size:
    clients: int
    repeats: int
    #: How long each case is measured.
    seconds: float
    #: Of sessions that are followed by one client each: events a second, of each.
    each_per_s: float = 2.0


SIZES = {Scale.FULL: Size(1_000, 3, 5), Scale.QUICK: Size(1_000, 1, 3), Scale.TINY: Size(10, 1, 0.2)}


def measure(ground: Ground) -> Report:
    """Listen with all clients to everything, then with each to a session of its own."""
    size = SIZES[ground.scale]
    found: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(ground.database(ground.kinds[0]))
        notices = Notices(place.settings().redis, place.settings().redis_prefix)
        stack.callback(notices.close)
        sessions = [place.store.create_session(TENANT, Creation(f"ses_{n}"))[0] for n in range(size.clients)]
        for turn in range(size.repeats):
            ground.tell(f"streaming to {size.clients} clients, {turn + 1} of {size.repeats}")
            for case, value in _turn(place, notices, sessions, size):
                found.setdefault(case, []).append(value)
    units = {"delivered": "events/s", "memory": "KB a client"}
    lines = [
        Line(f"{place.name}, {case}", Sample.of(values, units.get(case.rpartition(", ")[2], "ms")))
        for case, values in found.items()
    ]
    notes = [
        (
            f"{size.clients:,} clients in one process, on one API process; events are published as a worker publishes"
            " what an answer has grown by. A delay is from before the publishing to the client's reading."
        ),
        (
            "One answer: all clients follow the tenant (`/event`), and hear one session, twenty times a second; then"
            " as much as gets through. Own answers: each follows a session of its own, which is told of"
            f" {size.each_per_s:g} times a second, and whose history is kept."
        ),
    ]
    return Report("events", "live events to a thousand clients", lines, notes)


def _turn(place: Place, notices: Notices, sessions: Sequence[Session], size: Size) -> Iterator[tuple[str, float]]:
    command, port = place.api()
    with command:
        before = settled_kb(command, _SETTLE_S)
        with Listeners(Crowd(port, "/event", size.clients)) as listeners:
            yield "idle clients, memory", max(0.1, (settled_kb(command, _SETTLE_S) - before) / size.clients)
            heard = _steadily(notices, listeners, lambda _: [_delta(sessions[0])], size.seconds)
            yield "one answer to all, p50", heard.p50_ms
            yield "one answer to all, p99", heard.p99_ms
            yield "one answer to all, delivered", _flood(notices, listeners, sessions[0], size)
        with Listeners(Crowd(port, "/session/ses_{n}/event", size.clients)) as listeners:
            share = max(1, round(len(sessions) * size.each_per_s * TICK_S))

            def some(tick: int) -> list[Bundle]:
                first = tick * share % len(sessions)
                return [_delta(session, kept=True) for session in sessions[first : first + share]]

            heard = _steadily(notices, listeners, some, size.seconds)
            yield "own answers, p50", heard.p50_ms
            yield "own answers, p99", heard.p99_ms
            yield "own answers, delivered", heard.events / size.seconds


def _steadily(notices: Notices, listeners: Listeners, bundles: Callable[[int], list[Bundle]], seconds: float) -> Heard:
    """Publish at every tick; return what was heard of it."""
    listeners.heard()
    began = time.monotonic()
    tick = 0
    while time.monotonic() - began < seconds:
        _publish(notices, bundles(tick))
        tick += 1
        time.sleep(max(0.0, began + tick * TICK_S - time.monotonic()))
    time.sleep(_SETTLE_S / 2)
    return listeners.heard()


def _flood(notices: Notices, listeners: Listeners, session: Session, size: Size) -> float:
    """Publish as fast as it is heard, some way ahead; return how many events a second reach clients."""
    burst, ahead = 10, 2
    listeners.heard()
    sent = heard = 0
    began = time.monotonic()
    last = began
    while heard < sent or last - began < size.seconds:
        if last - began < size.seconds and sent - heard <= (ahead - 1) * burst * size.clients:
            _publish(notices, [_delta(session) for _ in range(burst)])
            sent += burst * size.clients
        more = listeners.heard().events
        heard += more
        if more:
            last = time.monotonic()
        if time.monotonic() - last > _PATIENCE_S:
            raise RuntimeError(f"{sent - heard} events were not heard")
        time.sleep(0.002)
    return heard / (last - began)


def _delta(session: Session, *, kept: bool = False) -> Bundle:
    now = part_delta(session.id, "msg_1", "prt_1", str(time.monotonic_ns()))
    return Bundle.of(session, [now]).evolve(is_kept=kept)


def _publish(notices: Notices, bundles: Sequence[Bundle]) -> None:
    if not notices.tell((), [TENANT], lambda _: bundles):
        raise RuntimeError("Redis did not take what was published")
