"""A TCP proxy that loses what it is told to lose."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Fault = Literal["lose the reply", "lose the request", "keep the request", "cut after it", "cut before it"]


class Proxy:
    """Passes on what comes to its port, but for the next request with a mark.

    Args:
        port: of the server, on 127.0.0.1.

    Attributes:
        port: its own.
        hits: how often a request had the mark and something was done to it.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.hits = 0
        self._fault: Fault | None = None
        self._mark = b""
        self._times = 0
        self._kept: list[tuple[socket.socket, bytes]] = []
        self._silent: set[socket.socket] = set()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def expect(self, mark: bytes, fault: Fault, times: int = 1) -> None:
        """Do this to the next requests in which the mark is."""
        self._mark, self._fault, self._times = mark, fault, times

    def deliver(self) -> None:
        """Pass on the requests that were kept."""
        while self._kept:
            server, request = self._kept.pop()
            server.sendall(request)

    def close(self) -> None:
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                self._sockets += [client, server]
                self._start(self._requests, client, server)
                self._start(self._replies, client, server)

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while request := client.recv(2**20):
                if self._times == 0 or self._mark not in request:
                    server.sendall(request)
                    continue
                self._times -= 1
                self.hits += 1
                self._silent.add(client)
                if self._fault == "keep the request":
                    self._kept.append((server, request))
                elif self._fault in ("lose the reply", "cut after it"):
                    server.sendall(request)
                elif self._fault == "cut before it":
                    client.shutdown(socket.SHUT_RDWR)
            if client not in self._silent:
                server.shutdown(socket.SHUT_RDWR)

    def _replies(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while reply := server.recv(2**20):
                if client not in self._silent:
                    client.sendall(reply)
                elif self._fault == "cut after it":
                    client.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    """A proxy while the block runs."""
    made = Proxy(port)
    try:
        yield made
    finally:
        made.close()
