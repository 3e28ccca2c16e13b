"""Nodes and the collector, over real sockets: what is answered, and what is then in the ledger."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from slurm_gpucost.domain.wire import encode
from slurm_gpucost.ledger import whole
from slurm_gpucost.ledger.tokens import Who
from tests.collector.service import Said, Service, until
from tests.unit.uplinked import Node, own_hook

GZIP = {"Content-Encoding": "gzip"}


def node(name: str, hooks: int = 3, journal: int = 1) -> Node:
    rows = [own_hook(name, at_ms=n, job_id=1000 + n) for n in range(hooks)]
    return Node(Who("c", name), rows, f"{journal:032x}")


@pytest.fixture(scope="module", autouse=True)
def slow_head(service: Service) -> Iterator[socket.socket]:
    """A client that begins when the tests do and never ends its first line."""
    with socket.create_connection(("127.0.0.1", service.port)) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        yield slow


def kept(service: Service, name: str) -> int:
    ((count,),) = service.ask(f"SELECT count(*) FROM hook_event WHERE node = '{name}'")
    return int(count)


def test_a_batch_is_answered_when_it_is_durable(service: Service) -> None:
    token, sender = service.enroll("b1"), node("b1", journal=0xB1)
    assert service.tcp("GET", f"/v1/batches?journal={sender.journal}", token=token).json == {"held": 0}
    assert service.send(token, sender.batch(1, 2))[::2] == (200, b'{"held":2}')
    assert kept(service, "b1") == 2
    gap = service.send(token, sender.batch(5, 4))
    assert (gap.status, gap.json) == (409, {"held": 2})
    assert service.send(token, sender.batch(1, 3)).json == {"held": 3}
    assert service.tcp("GET", f"/v1/batches?journal={sender.journal}", token=token).json == {"held": 3}
    assert kept(service, "b1") == 3


def test_a_second_journal_waits_and_says_so(service: Service) -> None:
    token = service.enroll("b2")
    assert service.send(token, node("b2", journal=0xB2).batch(1, 1)).status == 200
    other = service.send(token, node("b2", journal=0xB3).batch(1, 1))
    assert (other.status, other.json["waiting"]) == (403, True)
    assert "error" in other.json


def test_who_has_no_token_of_the_node_writes_nothing(service: Service) -> None:
    sender = node("b4", journal=0xB4)
    service.enroll("b4")
    user, foreign = service.user_token("mia"), service.enroll("b5")
    assert service.send("wrong", sender.batch(1, 1)).status == 401
    assert service.send(user, sender.batch(1, 1)).status == 401
    assert service.unix("POST", "/v1/batches", encode(sender.batch(1, 1))).status == 401
    refused = service.send(foreign, sender.batch(1, 1))
    assert refused.status == 403 and "b5" in refused.json["error"] and "waiting" not in refused.json
    assert kept(service, "b4") == 0


def test_a_revoked_token_is_soon_no_good(service: Service) -> None:
    token, sender = service.enroll("b6"), node("b6", journal=0xB6)
    assert service.send(token, sender.batch(1, 1)).status == 200
    with closing(sqlite3.connect(service.ledger)) as db, db:
        db.execute("UPDATE node_token SET revoked_ms = 1 WHERE node = 'b6'")
    deadline = time.monotonic() + 6
    while service.tcp("GET", f"/v1/batches?journal={sender.journal}", token=token).status != 401:
        assert time.monotonic() < deadline
        time.sleep(0.25)


def test_what_is_no_batch_is_refused_whole(service: Service) -> None:
    token = service.enroll("b7")
    for body in (b"", b"nonsense", encode(node("b7").batch(1, 1))[:-3]):
        said = service.tcp("POST", "/v1/batches", body, token, **GZIP)
        assert said.status == 422 and "batch" in said.json["error"]
    assert service.tcp("GET", "/v1/batches", token=token).status == 400
    assert service.figure("gpucost_turned_away_total", reason="no batch") >= 3


def test_a_large_body_is_refused_and_nobody_waits_for_it(service: Service) -> None:
    token = service.enroll("b8")
    said = service.tcp("POST", "/v1/batches", b"x" * (9 * 1024 * 1024), token)
    assert said.status == 413


def test_a_body_in_chunks_is_refused_before_anybody_reads_it(service: Service) -> None:
    """A million chunks of a byte would keep the loop busy for seconds, and nobody knows yet whose they are."""
    for path in ("/v1/batches", "/v1/queries/jobs"):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"1\r\nx\r\n" * 50_000)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert service.tcp("GET", "/healthz").status == 200


def test_slow_and_broken_clients_hurt_nobody(service: Service) -> None:
    """A body that never comes, one that is cut, words that are no HTTP."""
    token, sender = service.enroll("b9"), node("b9", journal=0xB9)
    slow_body, cut, noise = (socket.create_connection(("127.0.0.1", service.port)) for _ in range(3))
    head = f"POST /v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 100\r\n\r\n"
    slow_body.sendall(head.encode() + b"abc")
    cut.sendall(head.encode() + b"abc")
    cut.close()
    noise.sendall(b"\x16\x03\x01\x00\xff" * 20)
    noise.settimeout(5)
    assert noise.recv(100).startswith(b"HTTP/1.1 400")
    assert service.send(token, sender.batch(1, 3)).status == 200
    assert kept(service, "b9") == 3
    for one in (slow_body, noise):
        one.close()


def test_two_hundred_nodes_at_once(service: Service) -> None:
    names = [f"m{n}" for n in range(200)]
    tokens = {name: service.enroll(name) for name in names}
    barrier = threading.Barrier(len(names))

    def send(number: int, name: str) -> Said:
        sender = node(name, 5, 0x1000 + number)
        barrier.wait()
        said = service.send(tokens[name], sender.batch(1, 5))
        while said.status == 503:
            time.sleep(int(said.headers["retry-after"]))
            said = service.send(tokens[name], sender.batch(1, 5))
        return said

    with ThreadPoolExecutor(len(names)) as threads:
        answers = list(threads.map(send, range(len(names)), names))
    assert {(said.status, said.json["held"]) for said in answers} == {(200, 5)}
    assert service.ask("SELECT count(*) FROM hook_event WHERE node LIKE 'm%' AND node <> 'mia'") == [(1000,)]
    assert service.figure("gpucost_rows_total", outcome="taken") >= 1000


def test_one_node_that_sends_without_end_is_slowed_down(service: Service) -> None:
    """The others go on: limits count by node."""
    token, other = service.enroll("b10"), service.enroll("b11")
    statuses = [service.tcp("GET", f"/v1/batches?journal={'0' * 32}", token=token) for _ in range(120)]
    slowed = [said for said in statuses if said.status == 429]
    assert slowed and int(slowed[0].headers["retry-after"]) >= 1
    assert service.send(other, node("b11", journal=0xB11).batch(1, 1)).status == 200


def test_killed_amid_batches_and_started_again_nothing_is_lost_or_twice(own: Service) -> None:
    """What was answered is in; what was not is sent again."""
    tokens = {f"k{n}": own.enroll(f"k{n}") for n in range(4)}
    own.start()
    stop = threading.Event()
    acknowledged: dict[str, int] = dict.fromkeys(tokens, 0)
    most = 400

    def uplink(number: int, name: str) -> None:
        sender, held = node(name, most, 0x2000 + number), 0
        while held < most and not stop.is_set():
            try:
                said = own.tcp("GET", f"/v1/batches?journal={sender.journal}", token=tokens[name])
                held = said.json["held"] if said.status == 200 else held
                assert held >= acknowledged[name], "what was acknowledged is held"
                acknowledged[name] = held  # where the collector was killed before its answer
                while held < most:
                    last = min(most, held + 7)
                    said = own.send(tokens[name], sender.batch(held + 1, last))
                    if said.status != 200:
                        time.sleep(0.2)
                        break
                    held = acknowledged[name] = said.json["held"]
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                time.sleep(0.1)

    threads = [threading.Thread(target=uplink, args=pair) for pair in enumerate(tokens)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.5)
        children = own.children()
        own.kill()
        own.start()
    until(lambda: not any(path.exists() for path in children))
    for thread in threads:
        thread.join(30)
    stop.set()
    assert acknowledged == dict.fromkeys(tokens, most)
    for name in tokens:
        assert kept(own, name) == most
    with closing(sqlite3.connect(own.ledger)) as db:
        assert whole.faults(db) == []
    assert own.ask("SELECT DISTINCT held FROM node_journal") == [(most,)]
    own.end()


def test_a_head_must_be_here_soon(slow_head: socket.socket) -> None:
    slow_head.settimeout(13)
    assert slow_head.recv(100) == b""


def test_ending_answers_what_is_on_its_way(own: Service) -> None:
    token, sender = own.enroll("e1"), node("e1", 50, 0xE1)
    own.start()
    answers: list[Said] = []

    def send() -> None:
        for n in range(50):
            try:
                answers.append(own.send(token, sender.batch(n + 1, n + 1)))
            except (OSError, http.client.HTTPException):
                return

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.2)
    own.end()
    thread.join()
    assert answers and kept(own, "e1") >= sum(said.status == 200 for said in answers)
    assert not own.socket.exists()
