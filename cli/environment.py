"""The settings as a command sees them: the environment, overridden by options, and errors put in words."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.refusal import Refusal

if TYPE_CHECKING:
    from domain.configuration import Configuration
    from domain.settings import Settings

#: The user that the one password belongs to, as in OpenCode.
USER = "opencode"

PREFIX = "PROMPTQ_"

#: What is read from the environment besides the settings: by client commands, by `./run`, and for trials of crashes.
_OTHERS = ("URL", "KEY", "CALLED", "PYTHON", "FAILPOINTS")


def read_settings(**options: Any) -> "Settings":
    """The settings; an option that is None leaves the environment's value.

    Raises:
        Refusal: a value is out of range or of the wrong type.
    """
    from pydantic import ValidationError

    from domain.settings import Settings

    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        called = f"--{name.replace('_', '-')}" if name in given else f"PROMPTQ_{name.upper()}"
        raise Refusal(f"{called} is not right: {first['msg']}.", exit_code=2) from error


def read_configuration(settings: "Settings") -> "Configuration":
    """The configuration file.

    Raises:
        Refusal: it cannot be honoured; says in which line, and why.
    """
    from domain.configuration import ConfigurationInvalid, configuration_of

    try:
        return configuration_of(settings)
    except ConfigurationInvalid as error:
        raise Refusal(f"{error}.", exit_code=2) from error


def remarks_on(names: Iterable[str]) -> list[str]:
    """What to say of the environment's variables: those that look like settings and are none, misspelt perhaps."""
    import difflib

    from domain.settings import Settings

    known = [name.upper() for name in (*Settings.model_fields, *_OTHERS)]
    remarks = []
    for name in sorted(names):
        given = name.removeprefix(PREFIX)
        if given != name and given not in known:
            near = difflib.get_close_matches(given, known, n=1)
            hint = f"; did you mean {PREFIX}{near[0]}?" if near else "."
            remarks.append(f"{name} is no setting of promptq's, and does nothing{hint}")
    return remarks


def environment_of(settings: "Settings", base: dict[str, str]) -> dict[str, str]:
    """The environment in which another process reads the same settings: `base`, with what options changed."""
    environment = dict(base)
    changed: dict[str, str | None] = {
        "DATA_DIR": str(Path(settings.data_dir).absolute()),
        "CONFIG": str(Path(settings.config).absolute()) if "config" in settings.model_fields_set else None,
        "HOST": settings.host,
        "PORT": str(settings.port),
        "FLOWER_PORT": str(settings.flower_port),
        "REDIS_URL": settings.redis,
        "GRACE": str(settings.grace),
        "CONCURRENCY": str(settings.concurrency),
        "METRICS_PORT": str(settings.metrics_port) if settings.metrics_port is not None else None,
    }
    environment.update({f"PROMPTQ_{name}": value for name, value in changed.items() if value is not None})
    return environment
