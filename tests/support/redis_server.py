"""A real Redis server for tests: Debian's redis-server, on a free port, in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_HIGHEST = 55_536  # a node of a cluster has another port, 10,000 above
_START = 10.0  # seconds that a server may need to answer


def found() -> bool:
    """Whether redis-server is on PATH."""
    return shutil.which("redis-server") is not None


def needed() -> None:
    """Skip the test where there is no redis-server; where CI runs, that is a failure."""
    if not found():
        missing = "redis-server is not installed: apt-get install redis-server"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)


class RedisServer:
    """A server that runs.

    Attributes:
        port: on 127.0.0.1.
        url: of its first database.
        folder: where its files are.
        pid: of its process.
    """

    def __init__(self, folder: Path, config: dict[str, str]) -> None:
        self.folder = folder
        self.port = _free_port()
        self._config = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(folder), "save": "", **config}
        password = f":{config['requirepass']}@" if "requirepass" in config else ""
        self.url = f"redis://{password}127.0.0.1:{self.port}/0"
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _start(self) -> None:
        args = [word for key, value in self._config.items() for word in (f"--{key.replace('_', '-')}", value)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(["redis-server", *args], stdout=log, stderr=log)
        end = time.monotonic() + _START
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.end()
                raise RuntimeError(f"redis-server doesn't start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def kill(self) -> None:
        """End it as a power cut would, but for the disk (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Let it stand still (SIGSTOP)."""
        self._process.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start it again, on the same port and with its files; it is killed first if it runs."""
        self.kill()
        self._start()

    def end(self) -> None:
        """End it for good."""
        self.cont()
        self.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    return port if port < _HIGHEST else _free_port()


@contextmanager
def running_server(**config: str) -> Iterator[RedisServer]:
    """A server while the block runs; *config* is as in redis.conf, with ``_`` for ``-``.

    Skips the test, or fails it in CI, if there is no redis-server.
    """
    needed()
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder), config)
        try:
            yield server
        finally:
            server.end()
