"""The screen that a first user reads: where everything listens, what is kept where, and what to do next."""

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.markup import escape

from cli.environment import USER

if TYPE_CHECKING:
    from cli.running import Running
    from domain.settings import Settings

_OFFLINE_MODEL = "echo/echo"

#: Set by `./run`, so that what is printed can be typed as it stands.
CALLED = "PROMPTQ_CALLED"


def compose(
    settings: "Settings", running: "Running", *, embedded: bool, keyed: bool, workers: int, logs: Path
) -> list[str]:
    """The lines, in rich's markup.

    Args:
        settings: With the ports that are really used.
        running: Where it can be reached.
        embedded: Whether the Redis is our own.
        keyed: Whether there are keys that open the API.
        workers: How many there are.
        logs: The directory of the logs.
    """
    rows = [
        ("API", f"[bold cyan]{running.url}[/]", "OpenCode's HTTP API; its document is at /doc"),
        ("Flower", f"[bold cyan]{running.flower}[/]", "each attempt at a prompt, as it happens")
        if running.flower
        else ("Flower", "not started", "--no-flower"),
        ("Workers", f"{workers} x {settings.concurrency}", "prompts that can run at once"),
        ("Kept in", escape(_store(settings)), "sessions, prompts, answers"),
        ("Redis", escape(_redis(settings, embedded=embedded)), "wakes workers and waiting callers"),
        ("Logs", escape(str(logs)), "no prompts and no answers in them"),
        ("Model", escape(settings.model), _model(settings.model)),
    ]
    width = max(len(value) for _, value, _ in rows if "[" not in value)
    width = max(width, len(running.url))
    lines = ["", "[bold green]promptq is ready.[/]", ""]
    for name, value, remark in rows:
        plain = len(value) - (len("[bold cyan][/]") if value.startswith("[bold cyan]") else 0)
        lines.append(f"  {name:<8} {value}{' ' * (width - plain)}  [dim]{remark}[/]")
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
    called = os.environ.get(CALLED, "promptq")
    return [
        "  Send a first prompt; the session is made by it:",
        "",
        f"    curl -s {login}{url}/session/ses_hello/message \\",
        "      -H 'Content-Type: application/json' \\",
        """      -d '{"parts": \\[{"type": "text", "text": "Hello there"}]}'""",
        "",
        f'  or: {called} prompt ses_hello "Hello there"',
    ]


def _model(model: str) -> str:
    if model == _OFFLINE_MODEL:
        return "an offline model: it answers with your own words, and no network"
    return "for prompts that name none"


def _store(settings: "Settings") -> str:
    url = settings.sql_url
    return url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else without_password(url)


def _redis(settings: "Settings", *, embedded: bool) -> str:
    return "an embedded Valkey, nothing on disk" if embedded else without_password(settings.redis or "none")


def without_password(url: str) -> str:
    """A URL that may be shown: what stands between the user's name and the host is left out."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    shown = f"{name}{':***' if colon else ''}@{host}" if user else host
    return f"{parts.scheme}://{shown}{parts.path}"
