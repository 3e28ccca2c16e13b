"""Which devices a node had, from when to when."""

from __future__ import annotations

import pytest

from slurm_gpucost.domain.evidence import NodeReport, SlotReport
from slurm_gpucost.domain.inventory import Outage, capacity, node_gres, slot_types, units_per_device
from slurm_gpucost.domain.units import OPEN_END_MS


def report(at: int, gres: str) -> NodeReport:
    return NodeReport("c", "n1", at, gres)


def slot(at: int, index: int, device: str, kind: str = "a100") -> SlotReport:
    return SlotReport("c", "n1", "gpu", index, kind, device, at)


def rows(
    *found: NodeReport | SlotReport, out: list[Outage] | None = None
) -> list[tuple[int, int, int, str, str | None]]:
    reports = [f for f in found if isinstance(f, NodeReport)]
    slots = [f for f in found if isinstance(f, SlotReport)]
    return [(c.gres_index, c.start_ms, c.end_ms, c.gres_type, c.device) for c in capacity(reports, slots, out or [])]


def test_what_a_nodes_gres_says() -> None:
    text = "gpu:a100:2(S:0-1),gpu:h100:1(S:0,1),shard:a100:8,craynetwork:4,mps:h100:400"
    assert slot_types(text) == ["a100", "a100", "h100"]
    assert [(g.name, g.type, g.units) for g in node_gres(text)][2:] == [("shard", "a100", 8), ("mps", "h100", 400)]
    assert (units_per_device(text, "shard", "a100"), units_per_device(text, "mps", "h100")) == (4, 400)
    assert units_per_device("gpu:4,shard:16", "shard") == 4
    assert units_per_device("gpu:4,shard:15", "shard") == 0, "nobody says which has fewer"
    assert units_per_device("gpu:4", "shard") == 0
    assert node_gres("mps:1K")[0].units == 1024
    assert node_gres("(null)") == node_gres("") == ()
    with pytest.raises(ValueError, match="gpu:many"):
        node_gres("gpu:many")


def test_a_slot_exists_from_its_first_report_until_one_without_it() -> None:
    assert rows(report(10, "gpu:a100:2"), report(50, "gpu:a100:1"), report(70, "")) == [
        (0, 10, 70, "a100", None),
        (1, 10, 50, "a100", None),
    ]


def test_silence_ends_nothing() -> None:
    assert rows(report(10, "gpu:1")) == [(0, 10, OPEN_END_MS, "", None)]


def test_a_replaced_card_begins_anew_and_one_that_comes_back_is_told() -> None:
    found = rows(report(10, "gpu:1"), slot(12, 0, "GPU-old"), slot(40, 0, "GPU-new"), slot(60, 0, "GPU-old"))
    assert [row[1:] for row in found] == [
        (10, 40, "a100", "GPU-old"),
        (40, 60, "a100", "GPU-new"),
        (60, OPEN_END_MS, "a100", "GPU-old"),
    ]


def test_a_report_without_a_driver_takes_no_device_away() -> None:
    assert rows(report(10, "gpu:1"), slot(12, 0, "GPU-a"), slot(40, 0, "")) == [(0, 10, OPEN_END_MS, "a100", "GPU-a")]


def test_indexes_that_shift() -> None:
    found = rows(
        report(10, "gpu:2"), slot(10, 0, "GPU-a"), slot(10, 1, "GPU-b"), slot(30, 0, "GPU-b"), report(30, "gpu:1")
    )
    assert [row[:3] + row[4:] for row in found] == [
        (0, 10, 30, "GPU-a"),
        (0, 30, OPEN_END_MS, "GPU-b"),
        (1, 10, 30, "GPU-b"),
    ]


def test_a_cloud_node_that_is_powered_down_still_exists_and_one_that_was_removed_does_not() -> None:
    reports = report(10, "gpu:1"), report(30, ""), report(60, "gpu:1")
    assert rows(*reports, out=[Outage(29, 58, "powered_down")]) == [
        (0, 10, 58, "", None),
        (0, 60, OPEN_END_MS, "", None),
    ]
    assert rows(*reports) == [(0, 10, 30, "", None), (0, 60, OPEN_END_MS, "", None)]
