"""The screen that a first user reads: where everything listens, what is kept where, and what to do next."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.markup import escape

from cli.called import called
from cli.environment import USER

if TYPE_CHECKING:
    from cli.running import Running
    from domain.settings import Settings

_OFFLINE_MODEL = "echo/echo"

#: A value that is longer, such as a path, does not push the remarks of the others to the right.
_WIDEST = 40


def compose(
    settings: "Settings",
    running: "Running",
    *,
    embedded: bool,
    keyed: bool,
    workers: int,
    logs: Path,
    columns: int | None = None,
) -> list[str]:
    """The lines, in rich's markup.

    Args:
        settings: With the ports that are really used.
        running: Where it can be reached.
        embedded: Whether the Redis is our own.
        keyed: Whether there are keys that open the API.
        workers: How many there are.
        logs: The directory of the logs.
        columns: How wide the terminal is; a remark that does not fit is left out. None: it is none.
    """
    rows = [
        ("API", running.url, "OpenCode's HTTP API; /doc describes it"),
        ("Flower", running.flower or "not started", "each attempt at a prompt" if running.flower else "--no-flower"),
        ("Workers", f"{workers} x {settings.concurrency}", "prompts that can run at once"),
        ("Redis", _redis(settings, embedded=embedded), "wakes workers and waiting callers"),
        ("Model", settings.model, _model(settings.model)),
        ("Kept in", _store(settings), "sessions, prompts, answers"),
        ("Logs", str(logs), "no prompts, no answers"),
    ]
    width = max(len(value) for _, value, _ in rows if len(value) <= _WIDEST)
    lines = ["", "[bold green]promptq is ready.[/]", ""]
    for name, value, remark in rows:
        style = "bold cyan" if value in (running.url, running.flower) else "default"
        line = f"  {name:<8} [{style}]{escape(value)}[/]"
        room = len(f"  {name:<8} {value:<{width}}  {remark}")
        if columns is None or room <= columns:
            line += f"{' ' * (width - len(value))}  [dim]{escape(remark)}[/]"
        lines.append(line)
    return [
        *lines,
        "",
        *_first_prompt(_login(settings, keyed=keyed), running.url),
        "",
        "  [dim]Ctrl-C stops everything.[/]",
        "",
    ]


def _login(settings: "Settings", *, keyed: bool) -> str:
    if settings.password:
        return f'-u "{USER}:$PROMPTQ_PASSWORD" '
    return '-H "Authorization: Bearer $PROMPTQ_KEY" ' if keyed else ""


def _first_prompt(login: str, url: str) -> list[str]:
    return [
        "  Send a first prompt; the session is made by it:",
        "",
        f"    curl -s {login}{url}/session/ses_hello/message \\",
        "      -H 'Content-Type: application/json' \\",
        """      -d '{"parts": \\[{"type": "text", "text": "Hello there"}]}'""",
        "",
        f'  or: {called()} prompt ses_hello "Hello there"',
        f'  or, to watch the answer come: {called()} run "Hello there"',
    ]


def _model(model: str) -> str:
    if model == _OFFLINE_MODEL:
        return "an offline model: it answers with your own words"
    return "for prompts that name none"


def _store(settings: "Settings") -> str:
    url = settings.sql_url
    return url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else without_password(url)


def _redis(settings: "Settings", *, embedded: bool) -> str:
    return "embedded, nothing on disk" if embedded else without_password(settings.redis or "none")


def without_password(url: str) -> str:
    """A URL that may be shown: what stands between the user's name and the host is left out."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    shown = f"{name}{':***' if colon else ''}@{host}" if user else host
    return f"{parts.scheme}://{shown}{parts.path}"
