"""One measured row that no database takes costs itself alone; a disk that is full costs none."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.services import taking
from slurm_gpucost.services.gathering import Drained
from tests.daemon.sink import Sink
from tests.unit.services.test_node_clock import Clock, Node
from tests.unit.uplinked import device, process, window

NONSENSE = window("GPU-b", energy_mj=1 << 70)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    sink = Sink()
    sink.close()
    return Node(tmp_path, sink, Clock())


def test_all_others_are_kept(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    capture = node.engine.capture
    with caplog.at_level(logging.WARNING, "gpucostd"):
        capture._measured(Drained([device()], [window("GPU-a"), NONSENSE, window("GPU-c")], [], [process()]))
    db = node.journal.connection
    assert [row[0] for row in db.execute("SELECT device FROM usage_window ORDER BY 1")] == ["GPU-a", "GPU-c"]
    assert db.execute("SELECT count(*) FROM device_process").fetchone() == (1,)
    assert "1 rows that cannot be kept are left out: internal error: OverflowError" in caplog.text
    capture._measured(Drained(None, [window("GPU-a", 60)], [], []))
    assert db.execute("SELECT count(*) FROM usage_window").fetchone() == (3,), "and what comes later, too"


def test_nothing_is_left_out_because_of_a_disk(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise LedgerError("disk is full")

    capture = node.engine.capture
    with monkeypatch.context() as broken:
        broken.setattr(taking, "take_measured", full)
        with pytest.raises(LedgerError):
            capture._measured(Drained(None, [window("GPU-a")], [], []))
    capture._measured(Drained(None, [], [], []))
    rows = node.journal.connection.execute("SELECT device FROM usage_window").fetchall()
    assert rows == [("GPU-a",)]
