"""The uplink against a real HTTP server that fails in every way: every entry arrives, and no number is skipped."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.domain.errors import ConfigError, SourceError
from slurm_gpucost.domain.wire import Batch
from slurm_gpucost.ledger import ingest
from slurm_gpucost.ledger.journal import Journal, last, open_journal, tail
from slurm_gpucost.services import uplink as module
from slurm_gpucost.services.uplink import Uplink
from slurm_gpucost.sources import collector_http
from slurm_gpucost.sources.collector_http import CollectorHttp
from tests.daemon.sink import TOKEN, Sink, answer, cut, lost, slow
from tests.daemon.site import unable
from tests.unit.builders import T0, hook


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are short here; that they are waits is seen all the same."""
    for name, seconds in (
        ("RETRY_SECONDS", 0.3), ("SHORTEST_SECONDS", 0.02), ("LONGEST_SECONDS", 0.2), ("GATHER_SECONDS", 0.05),
        ("SIGN_OF_LIFE_SECONDS", 0.4),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, seconds)
    monkeypatch.setattr(collector_http, "READ_SECONDS", 0.5)


class Node:
    """A journal, a collector, and the uplink between them."""

    def __init__(self, top: Path) -> None:
        self.sink = Sink()
        self.path = top / "journal.db"
        self.token = top / "token"
        self.token.touch(mode=0o600)
        self.token.write_text(TOKEN)
        self.journal: Journal = open_journal(self.path, lambda: T0, "here")
        self.jobs = 0
        self.uplink = self.another()

    def another(self) -> Uplink:
        collector = CollectorHttp(self.sink.url, self.token, None)
        return Uplink(collector, self.path, "c", "n1", lambda: T0, lambda: {"driver": "ok"})

    def add(self, count: int) -> None:
        with self.journal.transaction() as db:
            ingest.add_hooks(db, [hook("prolog", 0, job_id=self.jobs + n) for n in range(count)])
        self.jobs += count
        self.uplink.wake()

    def arrived(self, seconds: float = 10) -> None:
        until(lambda: len(self.sink.jobs()) == self.jobs and not self.sink.moods, seconds)
        assert self.sink.jobs() == list(range(self.jobs))
        assert self.sink.skipped == []
        taken = 0
        for batch in self.sink.batches:
            assert batch.first <= taken + 1
            taken = max(taken, batch.last)
        until(lambda: self.uplink.state == "")


def until(true: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.01)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    if made.uplink._thread.is_alive():
        made.uplink.stop()
    made.sink.close()
    made.journal.close()


@pytest.mark.parametrize(
    "mood",
    [
        cut, lost, answer(500), answer(502, {"error": "bad gateway"}), answer(503, Retry_After="0"),
        answer(429), answer(200, {"held": "all"}), answer(302, Location="http://127.0.0.1:1/"), answer(404), slow(0.7),
    ],
)  # fmt: skip
def test_whatever_a_batch_meets_it_is_sent_again(node: Node, mood: Any) -> None:
    node.sink.moods.extend([mood, mood])
    node.add(5)
    node.uplink.start()
    node.arrived()
    node.add(5)
    node.arrived()


def test_a_collector_that_is_down_and_comes_back(node: Node) -> None:
    node.sink.close()
    node.add(3)
    node.uplink.start()
    until(lambda: "cannot be reached" in node.uplink.state)
    node.add(3)
    time.sleep(0.3)
    node.sink.open()
    node.arrived()


def test_a_weeks_backlog_goes_in_small_batches(node: Node) -> None:
    for _ in range(10):
        node.add(1000)
    node.uplink.start()
    node.arrived(30)
    assert 5 <= len(node.sink.batches) < 40
    assert max(len(batch.rows["hook_event"]) for batch in node.sink.batches if batch.rows) <= module.MOST_ROWS
    until(lambda: node.uplink.held == (node.journal.id, 10_000))


def test_it_goes_on_from_where_the_collector_is(node: Node) -> None:
    node.add(10)
    node.uplink.start()
    node.arrived()
    for forgotten in (4, 0):  # restored from a backup, and empty
        with node.sink.lock:
            node.sink.held[node.journal.id] = forgotten
            node.sink.rows.clear()
            node.sink.rows["hook_event"] = {(n,): hook("prolog", 0, job_id=n) for n in range(forgotten)}
            node.sink.batches.clear()
        node.add(1)
        until(lambda: len(node.sink.jobs()) == node.jobs)
        assert node.sink.jobs() == list(range(node.jobs))
        assert node.sink.skipped == []
        assert node.sink.batches[0].first <= forgotten + 1


def test_a_token_that_is_no_good_is_tried_again_and_read_anew(node: Node) -> None:
    node.token.write_text("old-token")
    node.uplink = node.another()
    node.add(2)
    node.uplink.start()
    until(lambda: "does not take this node's token (no such token)" in node.uplink.state)
    asked = node.sink.asked
    time.sleep(0.5)
    assert 1 <= node.sink.asked - asked <= 3, "now and then, not all the time"
    node.token.write_text(TOKEN)
    node.arrived()


def test_it_waits_while_another_journal_of_the_node_is_alive(node: Node) -> None:
    node.sink.moods.append(answer(403, {"error": "journal abc is alive", "waiting": True}))
    node.add(2)
    node.uplink.start()
    until(lambda: "another journal of node n1 is alive, and this one waits (journal abc" in node.uplink.state)
    assert node.sink.jobs() == []
    node.arrived()


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_not_understood_is_halved_until_the_rest_is_in(node: Node, status: int) -> None:
    """One entry of a hundred is refused for a while: all before it are taken in, and it is not passed over."""
    refusing = threading.Event()
    refusing.set()

    def mood(sink: Sink, batch: Batch | None) -> Any:
        if refusing.is_set():
            sink.moods.append(mood)
            if batch is not None and any(row.job_id == 70 for row in batch.rows.get("hook_event", [])):
                return status, {"error": "not this"}, {}
        return None

    node.sink.moods.append(mood)
    node.add(100)
    node.uplink.start()
    until(lambda: "does not understand" in node.uplink.state and node.sink.jobs() == list(range(70)))
    time.sleep(0.5)
    assert node.sink.jobs() == list(range(70))
    refusing.clear()
    node.arrived()


def test_a_journal_that_went_back_asks_to_become_another(node: Node) -> None:
    node.add(5)
    node.sink.held[node.journal.id] = 9
    node.uplink.start()
    until(lambda: node.uplink.went_back == node.journal.id)
    assert node.sink.batches == []
    node.journal.renew()
    node.arrived()
    assert last(node.journal.connection) == 5


def test_one_that_went_back_and_grew_beyond_is_seen_too(node: Node) -> None:
    """It was at 5 when the daemon began; nobody can have got 7 of it from here."""
    node.add(5)
    node.sink.held[node.journal.id] = 7
    node.sink.close()
    node.uplink.start()
    until(lambda: "cannot be reached" in node.uplink.state)
    node.add(5)
    node.sink.open()
    until(lambda: node.uplink.went_back == node.journal.id)
    node.journal.renew()
    node.arrived()


def test_one_that_went_back_and_grew_beyond_before_it_began_is_known_by_what_stands_there(
    node: Node, tmp_path: Path
) -> None:
    """As a snapshot of the machine, taken at 5, that ran for a while without the collector and started once more."""
    node.add(5)
    node.uplink.start()
    node.arrived()
    with closing(sqlite3.connect(tmp_path / "snapshot.db")) as copy:
        node.journal.connection.backup(copy)
    node.add(5)
    node.arrived()
    node.uplink.stop()
    with closing(sqlite3.connect(tmp_path / "snapshot.db")) as copy:
        copy.backup(node.journal.connection)
    with node.journal.transaction() as db:
        ingest.add_hooks(db, [hook("epilog", 0, job_id=100 + n) for n in range(10)])
    assert last(node.journal.connection) == 15 > node.sink.held[node.journal.id] == 10
    node.uplink = node.another()
    node.uplink.start()
    until(lambda: node.uplink.went_back == node.journal.id)
    node.journal.renew()
    until(lambda: node.sink.jobs() == [*range(10), *range(100, 110)])


def test_one_that_did_not_is_not_taken_for_one_that_did(node: Node) -> None:
    """However often it starts, and also where the entry that was sent last is gone, or its row has changed since."""
    node.add(5)
    node.uplink.start()
    node.arrived()
    for forget in (False, True):
        node.uplink.stop()
        with node.journal.transaction() as db:
            db.execute("UPDATE hook_event SET at_ms = at_ms - 1 WHERE job_id = 4")
            if forget:
                db.execute("DELETE FROM journal_entry WHERE seq <= ?", (node.sink.held[node.journal.id],))
        node.uplink = node.another()
        node.add(3)
        node.uplink.start()
        node.arrived()
        assert node.uplink.went_back == ""


def test_what_the_node_no_longer_has_is_passed_and_said(node: Node) -> None:
    node.add(10)
    node.journal.connection.execute("DELETE FROM journal_entry WHERE seq <= 4")
    node.uplink.start()
    until(lambda: len(node.sink.jobs()) == 6)
    assert (node.sink.batches[0].first, node.sink.batches[0].oldest, node.sink.batches[0].last) == (5, 5, 10)


def test_a_quiet_node_shows_that_it_lives(node: Node) -> None:
    node.add(2)
    node.uplink.start()
    node.arrived()
    sent = len(node.sink.batches)
    until(lambda: len(node.sink.batches) >= sent + 2, 3)
    sign = node.sink.batches[-1]
    assert (sign.first, sign.last, sign.rows) == (3, 2, {})
    assert sign.said == {"driver": "ok", "unsent": 0, "tail": tail(node.journal.connection, 2)}


def test_it_ends_in_time_while_the_collector_hangs(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector_http, "READ_SECONDS", 30)
    node.sink.moods.append(slow(20))
    node.add(1)
    node.uplink.start()
    time.sleep(0.3)
    began = time.monotonic()
    node.uplink.stop(0.5)
    assert time.monotonic() - began < 2


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with pytest.raises(ConfigError, match=r"token: the node's token cannot be read .*\[node\] token_file"):
        collector_http.read_token(token)
    token.touch(mode=0o600)
    for content in ("", "two words", "line\r\nHost: evil"):
        token.write_text(content)
        with pytest.raises(ConfigError, match="holds no token"):
            collector_http.read_token(token)
    token.write_text("good\n")
    assert collector_http.read_token(token) == "good"
    for mode in (0o640, 0o604, 0o620):
        token.chmod(mode)
        with pytest.raises(ConfigError, match="chmod 600"):
            collector_http.read_token(token)
    token.chmod(0o600)
    (tmp_path / "ca").write_text("no PEM")
    with pytest.raises(ConfigError, match="is no CA in PEM"):
        CollectorHttp("https://127.0.0.1:1", token, tmp_path / "ca")


def certificate(path: Path) -> Path:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", path, "-out", f"{path}.crt", "-subj", "/CN=ledger", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def test_over_tls_only_a_collector_of_the_named_ca_is_told_anything(node: Node, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        unable("openssl is not installed, which makes the certificates")
    good, other = certificate(tmp_path / "good"), certificate(tmp_path / "other")
    sink = Sink(good)
    try:
        collector = CollectorHttp(sink.url, node.token, Path(f"{good}.crt"))
        assert collector.held(node.journal.id).held == 0
        collector.close()
        for ca in (Path(f"{other}.crt"), None):
            with pytest.raises(SourceError, match="certificate"):
                CollectorHttp(sink.url, node.token, ca).held(node.journal.id)
        assert sink.asked == 1
    finally:
        sink.close()


def test_a_server_that_does_not_speak_tls_is_an_error_in_a_line(node: Node) -> None:
    collector = CollectorHttp(node.sink.url.replace("http:", "https:"), node.token, None)
    with pytest.raises(SourceError, match="cannot be reached"):
        collector.held("0" * 32)


def test_a_collector_that_answers_questions_but_takes_nothing_is_asked_less_and_less(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_SECONDS", 60.0)
    monkeypatch.setattr(module, "SHORTEST_SECONDS", 0.05)
    node.sink.moods.extend([answer(500)] * 50)
    node.add(1)
    node.uplink.start()
    states = set()
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        states.add(node.uplink.state)
        time.sleep(0.005)
    assert 3 <= node.sink.asked <= 8, "0.1, 0.2, 0.4 ... s"
    assert states <= {"", "the collector answers 500"}
    assert node.uplink.state == "the collector answers 500"
