"""`gpucostd collector` as a process of its own over a ledger of a test, and clients that speak to its sockets."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from slurm_gpucost.domain.wire import Batch, encode
from slurm_gpucost.ledger import tokens as node_tokens
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.ledger.tokens import Who
from slurm_gpucost.services import tokens
from slurm_gpucost.sources.identity import Identity
from tests.unit.crowd import crowd

REPOSITORY = Path(__file__).resolve().parents[2]
NOBODY = 65534
"""A uid that every system has."""


class Said(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def until(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float = 20) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Service:
    """One ledger's collector. ``more``: lines for [collector]."""

    def __init__(self, top: Path, *more: str, after: str = "") -> None:
        self.top = top
        self._open = Path(tempfile.mkdtemp(prefix="gpucost-"))  # pytest's own is closed to other users
        self._open.chmod(0o755)
        self.socket = self._open / "c.sock"
        self.settings = crowd(top)
        self.ledger = self.settings.ledger
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        text = self.settings.path.read_text()
        for command in ("sacct", "sacctmgr", "scontrol", "squeue"):
            text = text.replace(f'"{command}"', '"/bin/false"')
        start = text.index("[collector]")
        end = text.index("\n[", start)
        lines = [f'listen = "127.0.0.1:{self.port}"', f'socket = "{self.socket}"', *more]
        text = text[:start] + "\n".join(["[collector]", *lines]) + "\n" + text[end:]
        self.settings.path.write_text(text + after)
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self, *prefix: str) -> subprocess.Popen[bytes]:
        words = [*prefix, sys.executable, "-m", "slurm_gpucost.daemon", "collector"]
        with (self.top / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*words, "--config", str(self.settings.path), "--ledger", str(self.ledger)],
                cwd=REPOSITORY, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            )  # fmt: skip
        return self.process

    def start(self, *prefix: str) -> None:
        process = self.launch(*prefix)
        until(lambda: process.poll() is not None or self.is_ready())
        assert process.poll() is None, self.log

    def is_ready(self) -> bool:
        try:
            return self.tcp("GET", "/readyz").status == 200
        except OSError:
            return False

    @property
    def log(self) -> str:
        return (self.top / "log").read_text()

    def end(self) -> None:
        """It ends well, and in time."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0, self.log

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def children(self) -> list[Path]:
        """Its processes' directories in /proc."""
        assert self.process is not None
        parent = str(self.process.pid)
        return [path for path in Path("/proc").glob("[0-9]*") if _parent(path) == parent]

    def clear_up(self) -> None:
        self.kill()
        shutil.rmtree(self._open)

    def enroll(self, node: str, cluster: str = "c") -> str:
        token = f"token-of-{cluster}-{node}"
        with open_ledger(self.ledger) as ledger, ledger.transaction() as db:
            node_tokens.issue(db, Who(cluster, node), token, 0, "test")
        return token

    def user_token(self, user: str) -> str:
        with open_ledger(self.ledger) as ledger:
            now = time.time_ns() // 1_000_000
            token: str = tokens.issue(ledger, user, 90, Identity("root", 0, "here", ""), "", now)["token"]
        return token

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def tcp(self, method: str, path: str, body: Any = None, token: str = "", **headers: str) -> Said:
        own = {"Authorization": f"Bearer {token}"} if token else {}
        return say(self.connection(), method, path, body, {**own, **headers})

    def unix(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
        return say(UnixConnection(self.socket), method, path, body, headers)

    def send(self, token: str, batch: Batch) -> Said:
        return self.tcp("POST", "/v1/batches", encode(batch), token, **{"Content-Encoding": "gzip"})

    def query(self, name: str, limit: int | None = None, **params: Any) -> Said:
        """Over the socket, as this process's user."""
        more = {} if limit is None else {"limit": limit}
        return self.unix("POST", f"/v1/queries/{name}", {"params": params, **more})

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.ledger, timeout=30)) as connection:
            return connection.execute(query).fetchall()

    def figure(self, name: str, **labels: str) -> float:
        """Of /metrics."""
        from prometheus_client.parser import text_string_to_metric_families

        found = self.tcp("GET", "/metrics").body.decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(found)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def _parent(process: Path) -> str:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return ""


def say(connection: http.client.HTTPConnection, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Said:
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    with closing(connection):
        connection.request(method, path, content, dict(headers))
        response = connection.getresponse()
        return Said(response.status, dict(response.headers), response.read())


def as_other(uid: int, path: Path, line: str) -> Said:
    """A question over the Unix socket from a process of that user; ``line``: JSON of name and content."""
    program = (
        "import os,sys,json\n"
        f"sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from tests.collector.service import UnixConnection, say\n"
        "from pathlib import Path\n"
        f"os.setgid({uid}); os.setuid({uid})\n"
        "name, content = json.loads(sys.argv[2])\n"
        "said = say(UnixConnection(Path(sys.argv[1])), 'POST', '/v1/queries/' + name, content, {})\n"
        "print(json.dumps([said.status, said.body.decode()]))\n"
    )
    told = subprocess.run([sys.executable, "-c", program, str(path), line], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    status, body = json.loads(told.stdout)
    return Said(status, {}, body.encode())
