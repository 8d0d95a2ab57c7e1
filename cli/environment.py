"""The settings as a command sees them: the environment, overridden by options, and errors put in words."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.refusal import Refusal

if TYPE_CHECKING:
    from domain.settings import Settings

#: The user that the one password belongs to, as in OpenCode.
USER = "opencode"

_LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost"})


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


def environment_of(settings: "Settings", base: dict[str, str]) -> dict[str, str]:
    """The environment in which another process reads the same settings: `base`, with what options changed."""
    environment = dict(base)
    changed: dict[str, str | None] = {
        "DATA_DIR": str(Path(settings.data_dir).absolute()),
        "HOST": settings.host,
        "PORT": str(settings.port),
        "FLOWER_PORT": str(settings.flower_port),
        "REDIS_URL": settings.redis,
        "GRACE": str(settings.grace),
        "CONCURRENCY": str(settings.concurrency),
    }
    environment.update({f"PROMPTQ_{name}": value for name, value in changed.items() if value is not None})
    return environment


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    import ipaddress

    if host.lower() in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_open_door(settings: "Settings") -> None:
    """Refuse to let other machines in without a password, or with one that Flower would read as several."""
    password = settings.password.get_secret_value() if settings.password else ""
    if not password and not is_loopback(settings.host):
        raise Refusal(
            f"{settings.host} can be reached from other machines, and there is no password: "
            "set PROMPTQ_PASSWORD, or listen on 127.0.0.1."
        )
    if "," in password:
        raise Refusal("PROMPTQ_PASSWORD must have no comma: Flower would take the parts for several passwords.")
