"""Ports, looked at before anything starts."""

import errno
import socket

from cli.refusal import Refusal


def settle_port(host: str, port: int, *, what: str, option: str) -> int:
    """The port that `what` can listen on: `port` itself, or for 0 one that is free now.

    Raises:
        Refusal: somebody listens there already, or this machine does not have the address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise Refusal(f"{host} is no address of this machine: {error.strerror}.") from error
    with socket.socket(family, kind, protocol) as probe:
        # As the servers do: a port that only waits for the last packets of the one before is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise Refusal(_why(error, host, port, what, option)) from error
        settled: int = probe.getsockname()[1]
        return settled


def settle_ports(host: str, api_port: int, flower_port: int | None) -> tuple[int, int | None]:
    """The ports of the API and, unless it is None, of Flower: never the same one."""
    if flower_port == api_port != 0:
        raise Refusal(f"API and Flower cannot both listen on port {api_port}: give one of them another.")
    api = settle_port(host, api_port, what="the API", option="--port")
    if flower_port is None:
        return api, None
    while True:
        flower = settle_port(host, flower_port, what="Flower", option="--flower-port")
        if flower != api:
            return api, flower
        api = settle_port(host, api_port, what="the API", option="--port") if api_port == 0 else api


def _why(error: OSError, host: str, port: int, what: str, option: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {host} is taken, so {what} cannot listen there: choose another with {option}."
        case errno.EACCES:
            return f"{what} may not listen on port {port}: choose one above 1023 with {option}."
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine."
        case _:
            return f"{what} cannot listen on {host}:{port}: {error.strerror}."
