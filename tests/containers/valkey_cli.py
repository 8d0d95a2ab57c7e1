"""Stands in for `valkey-cli -e -p PORT ping` where no such program is installed (the wheel has the server alone)."""

import socket
import sys

option, port_option, port, command = sys.argv[1:]
assert (option, port_option, command) == ("-e", "-p", "ping"), sys.argv
with socket.create_connection(("127.0.0.1", int(port)), timeout=3) as connection:
    connection.sendall(b"PING\r\n")
    sys.exit(not connection.recv(64).startswith(b"+PONG"))
