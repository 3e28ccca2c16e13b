"""The collector and a node, installed, enrolled and run by their units; and in mixed versions."""

from __future__ import annotations

import pytest

from tests.packages.built import NEW, OLD
from tests.packages.collected import Collected

pytestmark = pytest.mark.cluster


def test_what_a_node_tells_is_in_the_collectors_ledger(collected: Collected) -> None:
    """Of a hook and, by the stand-in for the driver and a real slurmd, of two devices."""
    assert "hook events                     2\n" in collected.status["root"]
    assert "  taken: 1\n" in collected.status["root"] and "  enrolled: 63\n" in collected.status["root"]


def test_the_socket_answers_root_with_all_and_a_user_with_what_is_his(collected: Collected) -> None:
    assert collected.jobs == {"root": ["7001", "7002"], "ann": ["7001"]}
    assert "Witnesses" in collected.status["ann"] and "hook events" not in collected.status["ann"]


def test_files_belong_to_whom_they_have_to(collected: Collected) -> None:
    assert set(collected.modes) == {
        "1775 root:gpucost /run/gpucost",
        "666 gpucost:gpucost /run/gpucost/collector.sock",
        "600 gpucost:gpucost /var/lib/gpucost/ledger.db",
        "600 root:root /var/lib/gpucost/journal.db",
        "700 gpucost:root /var/lib/gpucost/tokens",
        "600 gpucost:gpucost /var/lib/gpucost/tokens/n1.token",
    }


def test_both_run_in_their_units_sandbox(collected: Collected) -> None:
    assert collected.rights == {
        "gpucost-collector": ["gpucost", "0000000000000000", "2"],
        "gpucost-node": ["root", "0000000000080040", "2"],
    }


def test_what_an_older_collector_does_not_know_is_kept_until_it_is_newer(collected: Collected) -> None:
    assert "update the collector before the nodes" in collected.refused
    assert collected.before == ["7001", "7002"]
    assert collected.after == ["7001", "7002", "7003", "7004"]


def test_a_newer_collector_takes_in_what_an_older_node_tells(collected: Collected) -> None:
    assert collected.nodes == {"n1": (NEW, 0), "n2": (OLD, 0)}
