"""What nodes have and when they were out of use, as real 22.05 and 24.11 printed it (recordings/*/node-story.json)."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import NodeEvent
from slurm_gpucost.sources.node_events import ask_events, class_of, parse_events, parse_reservations
from slurm_gpucost.sources.nodes import gpus_of, parse
from tests.unit.builders import VERSIONS, recording, script

LATER = 1_900_000_000_000


def events(version: str) -> list[NodeEvent]:
    return parse_events(recording(version, "sacctmgr-events.txt"), LATER)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_record_is_read_whatever_its_reason_holds(version: str) -> None:
    text = recording(version, "sacctmgr-events.txt")
    found = events(version)
    assert len(found) == text.count("|root(0)|"), "one record for each who set it"
    (lines,) = [e for e in found if "two" in e.reason and "lines" in e.reason]
    assert lines.reason == 'two\nlines, "quotes" and |'
    assert {e.node for e in found} == {"n1", "n2"}
    assert all(e.end_ms is None or e.end_ms >= e.start_ms for e in found)
    assert [e.reason for e in found if e.end_ms is None] == ["open at the end"]


@pytest.mark.parametrize("version", VERSIONS)
def test_states_have_their_class(version: str) -> None:
    classes = {e.reason: e.class_ for e in events(version)}
    assert classes["drained while idle"] == "drained"
    assert classes["failing"] == "failing"
    assert classes["Not responding"] == "down"
    assert classes["drained in maintenance"] == "maintenance"
    assert classes["Powered down after SuspendTimeout"] == "powered_down"
    assert classes["down while drained"] == "down"


@pytest.mark.parametrize(
    ("raw", "class_"),
    [(1, "down"), (2049, "down"), (514, "drained"), (513, "down"), (8194, "failing"), (33314, "maintenance"),
     (4098, "powered_down"), (4097, "powered_down"), (262658, "powered_down"), (1049089, "down"), (0, "down")],
)  # fmt: skip
def test_the_bits_of_a_state(raw: int, class_: str) -> None:
    assert class_of(raw) == class_


@pytest.mark.parametrize("version", VERSIONS)
def test_maintenance_is_a_reservation(version: str) -> None:
    text = recording(version, "sacctmgr-reservations.txt")
    found = parse_reservations(text, LATER)
    assert [(e.node, e.class_, e.reason) for e in found] == [("n2", "maintenance", "service")]
    assert found[0].end_ms is not None
    begun = found[0].start_ms + 1
    assert [e.end_ms for e in parse_reservations(text, begun)] == [None], "an end to come is a plan"
    assert parse_reservations(text, begun - 2) == [], "one that has not begun can still be deleted"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_nodes_have(version: str) -> None:
    found = parse(recording(version, "scontrol-show-node-o.txt"), "c", 5)
    assert [(r.cluster, r.node, r.observed_at_ms, r.gres) for r in found] == [
        ("c", "n1", 5, "gpu:a100:4,shard:a100:16"), ("c", "n2", 5, "gpu:a100:4,shard:a100:16"),
    ]  # fmt: skip


def test_gpus_in_a_nodes_gres() -> None:
    assert gpus_of("gpu:a100:2(S:0,1),craynetwork:4,gpu:h100:1(S:0)") == "gpu:a100:2,gpu:h100:1"
    assert gpus_of("(null)") == gpus_of("craynetwork:4") == gpus_of("gpu:0") == ""


@pytest.mark.parametrize("said", ["", "No nodes in the system", "slurm_load_node error"])
def test_a_reply_without_nodes_takes_none_away(said: str) -> None:
    with pytest.raises(SourceError, match="names no node"):
        parse(said, "c", 5)


def test_the_question_is_in_utc_and_for_nodes_alone(tmp_path: Path) -> None:
    sacctmgr = script(tmp_path / "sacctmgr", 'test "$SLURM_TIME_FORMAT$TZ" = %sUTC && echo "$*"')
    asked = ask_events(sacctmgr, "alpha", 1_795_500_000_000, 1_795_503_600_000, 10)
    assert asked.split() == [
        "--parsable2", "--noheader", "show", "event", "cluster=alpha", "start=2026-11-24T06:00:00",
        "end=2026-11-24T07:00:00", "event=node", "format=Cluster,NodeName,Start,End,StateRaw,State,User,Reason",
    ]  # fmt: skip
