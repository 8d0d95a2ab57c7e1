"""Which doors may be opened: no server starts where others can reach it and nothing is asked of them."""

from typing import TYPE_CHECKING

from cli.called import called, typed
from cli.refusal import Refusal

if TYPE_CHECKING:
    from domain.configuration import Configuration
    from domain.settings import Settings

_LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    import ipaddress

    if host.lower() in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_open_api(settings: "Settings", configuration: "Configuration") -> None:
    """Refuse to let other machines in without a key or a password."""
    if not is_loopback(settings.host) and not settings.password and not configuration.keys:
        raise Refusal(
            f"{settings.host} can be reached from other machines, and there is neither a password nor a key: "
            f"set PROMPTQ_PASSWORD, or make a key with {typed('key new')}, or listen on 127.0.0.1."
        )


def refuse_open_flower(settings: "Settings", configuration: "Configuration") -> None:
    """Refuse to show Flower to whom the API would not let in. It shows all tenants' work, and takes the password only.

    Raises:
        Refusal: it would be open to all, or would read the password as several.
    """
    password = settings.password.get_secret_value() if settings.password else ""
    if not password and not is_loopback(settings.host):
        raise Refusal(
            f"{settings.host} can be reached from other machines, and Flower takes no keys: "
            f"set PROMPTQ_PASSWORD, or listen on 127.0.0.1, or do without Flower ({called()} up --no-flower)."
        )
    if not password and configuration.keys:
        raise Refusal(
            "Flower shows the work of all tenants and takes no keys: set PROMPTQ_PASSWORD (which opens the API too, "
            f"for the tenant 'default'), or do without Flower ({called()} up --no-flower)."
        )
    if "," in password:
        raise Refusal("PROMPTQ_PASSWORD must have no comma: Flower would take the parts for several passwords.")
