"""Nodes that lie, hooks that write nonsense: short in the tests, long in soaks.

A good node, whose spool also gets spoiled event files and things that are no files, and nodes with tokens of their own
that send spoiled batches, in which they also speak of the good node's jobs and devices. The good node's facts are in
the ledger as it told them; collector and node's daemon go on; the collector answers all the while.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import sqlite3
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

from slurm_gpucost.domain.wire import encode
from slurm_gpucost.ledger import whole
from slurm_gpucost.ledger.tokens import Who
from tests.daemon.fleet_site import GPUS, FleetNode, FleetSite, free_port, until_reached
from tests.daemon.site import until
from tests.unit.spoiled import spoil, spoil_event
from tests.unit.uplinked import Node, device, instance, own_hook, process, slot, unreadable, window

LIARS = 20
"""Each may ask ten times a second."""
FIRST_GOOD = 10_000_000
"""The good node's jobs have numbers from here on; a spoiled file does not come to such a number."""
SECRET = b"root:$6$secret"
ANSWERS = {200, 400, 403, 409, 413, 422}
NO_ANSWER = 0
NOISE = (
    b"\x16\x03\x01\x00\xff" * 20,
    b"POST /v1/batches HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"\0" * 5_000,
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
)
FIELDS = {"NODE": "n1", "SLURM_JOB_ID": "7", "SLURM_JOB_USER": "ann", "SLURM_JOB_GPUS": "0,1", "PID": "4711"}
EVENT = "\0".join(["1", "HOOK=prolog", *(f"{name}={value}" for name, value in FIELDS.items()), "END", ""]).encode()


def play(top: Path, count: int, seed: int) -> str:
    """So many spoiled batches and as many spoiled event files; what came of them, in a line. Raises AssertionError."""
    port = free_port()
    site = FleetSite(top, ["n1"], port, port)
    try:
        liars = json.loads(site.gpucost("node", "enroll", *(f"x{n}" for n in range(LIARS))))
        site.start_collector()
        until_reached(port)
        good = site.nodes["n1"]
        good.start()
        until(lambda: site.ask("SELECT count(*) FROM device_claim WHERE node = 'n1'") != [(0,)])
        with _Asking(port) as asking, ThreadPoolExecutor(LIARS) as threads:
            lies = [
                threads.submit(_lie, port, one["node"], one["token"], count // LIARS, f"{seed} {one['node']}")
                for one in liars
            ]
            files, written = _fill(good, random.Random(seed), count)
            said = sum((lie.result() for lie in lies), Counter[int]())
        _remove_no_files(good)
        site.until_taken(120)
        _check(site, written)
        sizes = [_peak_mib(process.pid) for process in (site.collector, good.process) if process]
        assert len(sizes) == 2
        site.end()
    finally:
        site.clear_up()
    assert set(said) <= ANSWERS | {NO_ANSWER}, said
    assert said[200] and said[422], "both ways were tried"
    assert asking.refused == []
    return (
        f"seed {seed}: {count} spoiled batches, answers {dict(sorted(said.items()))}; event files {dict(files)} among "
        f"{written} good ones; {asking.answered} looks at /healthz answered; at most {sizes[0]} MiB the collector, "
        f"{sizes[1]} MiB the node; lost: 0, altered: 0"
    )


def _lie(port: int, name: str, token: str, count: int, seed: str) -> Counter[int]:
    """Spoiled batches of one node, some of them no HTTP; how often which status came."""
    chance, statuses = random.Random(seed), Counter[int]()
    who = Who("alpha", name)
    rows = [
        own_hook(name, cluster="alpha"),
        own_hook("n1", cluster="alpha", job_id=FIRST_GOOD),
        slot(0, "GPU-n1-0", node="n1")._replace(cluster="alpha"),
        *(make(uuid) for uuid in ("GPU-n1-0", f"GPU-{name}-0") for make in (device, window, process)),
        instance("GPU-n1-1", "MIG-n1"),
        unreadable(),
    ]
    body = encode(Node(who, rows, f"{int(name[1:]) + 0xBAD:032x}").batch(1, len(rows), said={"driver": "ok"}))
    for _ in range(count):
        if chance.random() < 0.02:
            statuses[_shout(port, chance.choice(NOISE))] += 1
            continue
        spoiled = spoil(body, chance)
        while (status := _post(port, token, spoiled)) in (429, 503):
            time.sleep(0.5)
        statuses[status] += 1
    return statuses


def _post(port: int, token: str, body: bytes) -> int:
    """Who is refused unread may find the connection closed before the answer: he comes again, but not for ever."""
    headers = {"Authorization": f"Bearer {token}", "Content-Encoding": "gzip"}
    for left in reversed(range(5)):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            try:
                connection.request("POST", "/v1/batches", body, headers)
                return connection.getresponse().status
            except (ConnectionError, http.client.HTTPException):
                if not left:
                    raise
        time.sleep(0.5)
    raise AssertionError("unreachable")


def _shout(port: int, noise: bytes) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection, suppress(ConnectionError):
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(100)
        if answer.startswith(b"HTTP/1.1 "):
            return int(answer[9:12])
    return NO_ANSWER


def _fill(node: FleetNode, chance: random.Random, count: int) -> tuple[Counter[str], int]:
    """Spoiled files, among them good ones; (how many of which kind, the number of good ones)."""
    kinds, written = Counter[str](), 0
    secret = node.top / "secret"
    secret.write_bytes(SECRET)
    for number in range(count):
        place = node.spool / f"prolog.7.{number}"
        if number % 250 == 0:
            kind = ("link", "directory", "fifo", "name")[number // 250 % 4]
            if kind == "link":
                place.symlink_to(secret)
            elif kind == "directory":
                place.mkdir()
            elif kind == "fifo":
                os.mkfifo(place)
            else:
                _put(node.spool / os.fsdecode(b"-rf \xff\n%d" % number), EVENT[:-4])
        else:
            kind = "spoiled"
            _put(place, spoil_event(EVENT, chance))
        kinds[kind] += 1
        if number % 10 == 0:
            for hook in ("prolog", "epilog"):
                node.event(FIRST_GOOD + number, hook)
                written += 1
        if number % 100 == 0:
            time.sleep(0.2)
    assert secret.read_bytes() == SECRET
    return kinds, written


def _remove_no_files(node: FleetNode) -> None:
    """Once all files are taken: what is none has lain there all the while."""

    def others() -> bool:
        return not any(path.is_file() and not path.is_symlink() for path in node.spool.iterdir())

    until(others, 120)
    for path in node.spool.iterdir():
        path.rmdir() if path.is_dir() else path.unlink()


def _put(path: Path, content: bytes) -> None:
    temporary = path.with_name(".tmp.spoiled")
    temporary.write_bytes(content)
    temporary.rename(path)


def _check(site: FleetSite, written: int) -> None:
    """The good node's facts, all of them once and no others under its name."""
    of_n1 = f"hook_event WHERE node = 'n1' AND job_id >= {FIRST_GOOD}"
    good = site.ask(f"SELECT job_id, hook, count(*) FROM {of_n1} GROUP BY 1, 2")
    assert len(good) == written and {count for *_, count in good} == {1}
    node, journal = "hook_event WHERE node = 'n1'", site.nodes["n1"].journal
    keys = "SELECT job_id, hook, digest, at_ms, user, job_gpus FROM "
    assert {*site.ask(keys + node)} <= {*site.ask(keys + node, journal)}, "as it wrote them"
    devices = [f"GPU-n1-{index}" for index in range(GPUS)]
    for table, key in (
        ("usage_window", "device, start_ms, energy_mj"),
        ("device_report", "device, model"),
        ("mig_report", "parent, device"),
    ):
        ask = f"SELECT {key} FROM {table} WHERE {key.partition(',')[0]} IN ({', '.join(map(repr, devices))})"
        assert {*site.ask(ask)} <= {*site.ask(ask, journal)}, f"{table}: another's word"
        assert table == "usage_window" or len(site.ask(ask)) == GPUS
    assert site.ask("SELECT count(*) FROM slot_report WHERE node = 'n1'") == [(0,)]
    until(lambda: site.ask("SELECT count(*) FROM dirty_job") == [(0,)], 30)
    assert site.ask("SELECT count(*) FROM unprojected_job") == [(0,)]
    assert site.ask(f"SELECT count(*) FROM set_aside WHERE instr(content, '{SECRET.decode()}')") == [(0,)]
    with closing(sqlite3.connect(site.ledger, timeout=30)) as ledger:
        assert whole.faults(ledger) == []


def _peak_mib(pid: int) -> int:
    """The largest that a process ever was; it must be the one that was started, so it never ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


class _Asking:
    """Looks at /healthz twice a second as long as the block lasts."""

    def __init__(self, port: int) -> None:
        self.answered = 0
        self.refused: list[str] = []
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> _Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.5):
            try:
                with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as connection:
                    connection.request("GET", "/healthz")
                    status = connection.getresponse().status
            except (OSError, http.client.HTTPException) as error:
                self.refused.append(repr(error))
            else:
                self.answered += 1
                if status != 200:
                    self.refused.append(str(status))
