"""The proxy does to connections what it is told, and lets them be otherwise."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.proxy import Proxy, Weather
from tests.support.waiting import eventually


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Server(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with Proxy(server.server_address[1]) as made:
            yield made
        server.shutdown()
        thread.join()


def connect(proxy: Proxy, timeout: float = 5) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout)


def echo(connection: socket.socket, line: bytes = b"hello\n") -> bytes:
    connection.sendall(line)
    return connection.recv(100)


def test_in_fair_weather_all_passes(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert echo(connection) == b"hello\n"
        assert proxy.connections == 1
    eventually(lambda: proxy.connections == 0)


def test_what_is_delayed_comes_later(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        proxy.delay(0.1)
        began = time.monotonic()
        assert echo(connection) == b"hello\n"
        assert time.monotonic() - began >= 0.2


def test_what_is_frozen_comes_when_it_thaws(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert echo(connection) == b"hello\n"
        proxy.become(Weather.FROZEN)
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            echo(connection)
        connection.settimeout(5)
        proxy.become(Weather.FAIR)
        assert connection.recv(100) == b"hello\n"


def test_what_is_cut_is_reset_and_nobody_gets_in(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert echo(connection) == b"hello\n"
        proxy.become(Weather.CUT)
        assert is_reset(connection)
    with connect(proxy) as connection:
        assert is_reset(connection)
    proxy.become(Weather.FAIR)
    with connect(proxy) as connection:
        assert echo(connection) == b"hello\n"


def test_what_is_half_open_leads_nowhere_until_the_other_side_is_back(proxy: Proxy) -> None:
    with connect(proxy) as before:
        assert echo(before) == b"hello\n"
        proxy.become(Weather.HALF_OPEN)
        with connect(proxy) as since:
            for connection in (before, since):
                connection.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    echo(connection)
            proxy.become(Weather.FAIR)
            assert is_reset(before)
            assert is_reset(since)
    with connect(proxy) as connection:
        assert echo(connection) == b"hello\n"


def is_reset(connection: socket.socket) -> bool:
    connection.settimeout(5)
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True
