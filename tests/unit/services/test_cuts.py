"""A hook cuts the windows of its job's devices, and of all where nobody knows which those are."""

from __future__ import annotations

import pytest

from slurm_gpucost.domain.evidence import DeviceReport
from slurm_gpucost.services.cuts import devices_of
from tests.unit.builders import hook

SLOTS = {("n1", 0): "GPU-a", ("n1", 1): "GPU-b", ("n2", 0): "GPU-c"}


def test_the_devices_of_its_indexes_on_its_node() -> None:
    assert devices_of(hook("prolog", 0, "0"), SLOTS, []) == frozenset({"GPU-a"})
    assert devices_of(hook("epilog", 0, "0-1"), SLOTS, []) == frozenset({"GPU-a", "GPU-b"})
    assert devices_of(hook("prolog", 0, "0", node="n2"), SLOTS, []) == frozenset({"GPU-c"})


@pytest.mark.parametrize("said", [None, "", "NoDevFiles", "GPU-a", "MIG-1", "0,2"])
def test_all_where_an_index_is_not_told_or_not_known(said: str | None) -> None:
    assert devices_of(hook("epilog", 0, said), SLOTS, []) is None


def test_all_before_the_slots_are_known_and_with_mig() -> None:
    assert devices_of(hook("prolog", 0, "0"), {}, []) is None
    listed = [DeviceReport("GPU-a", b"", 0, "h", "m", "", 0, 0, "", None, mig_mode, "1") for mig_mode in (0, 1)]
    assert devices_of(hook("prolog", 0, "0"), SLOTS, listed[:1]) == frozenset({"GPU-a"})
    assert devices_of(hook("prolog", 0, "0"), SLOTS, listed) is None
