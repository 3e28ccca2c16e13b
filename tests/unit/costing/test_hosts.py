from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.energy import EnergyWindow
from slurm_gpucost.costing.hosts import Held, measured, stated_per_gpu, stated_per_node

HOUR_MS = 3_600_000


def total(windows: list[EnergyWindow]) -> Fraction:
    return sum((Fraction(window.energy_mj) for window in windows), Fraction(0))


def test_two_of_eight_gpus_bear_a_quarter_of_the_hosts_watts() -> None:
    # 800 W for the node: 200 W for 2 of 8 GPUs, in an hour 720 kJ.
    assert list(stated_per_node([Held(0, HOUR_MS, 2)], Fraction(800), 8)) == [EnergyWindow(0, HOUR_MS, 720_000_000)]
    # 100 W for each GPU held says the same.
    assert list(stated_per_gpu([Held(0, HOUR_MS, 2)], Fraction(100))) == [EnergyWindow(0, HOUR_MS, 720_000_000)]
    # 3 of 8 shares of one GPU.
    assert total(list(stated_per_gpu([Held(0, 1000, Fraction(3, 8))], Fraction(100)))) == 37_500


def test_what_was_measured_goes_to_who_held_then() -> None:
    host = [EnergyWindow(0, 100, 1000), EnergyWindow(100, 200, 500), EnergyWindow(300, 400, 800)]
    assert list(measured([Held(50, 350, 2)], host, 4)) == [
        EnergyWindow(50, 100, 250),
        EnergyWindow(100, 200, 250),
        EnergyWindow(300, 350, 200),
    ]
    assert list(measured([Held(200, 300, 4), Held(400, 500, 4), Held(60, 60, 4)], host, 4)) == []
    assert list(measured([Held(0, 100, 4)], [], 4)) == []


@st.composite
def nodes(draw: st.DrawFn) -> tuple[list[EnergyWindow], list[list[Held]], int]:
    """Windows of a host, and for each GPU who held it when: leases and, in between, idle."""
    edges = sorted(draw(st.sets(st.integers(0, 1000), min_size=2, max_size=6)))
    host = [EnergyWindow(low, high, draw(st.integers(0, 10**6))) for low, high in pairwise(edges)]
    host = draw(st.lists(st.sampled_from(host), unique=True).map(sorted))
    gpus = draw(st.integers(1, 4))
    holders = []
    for _ in range(gpus):
        cuts = sorted(draw(st.sets(st.integers(1, 999), max_size=4)) | {0, 1000})
        holders.append([Held(low, high, 1) for low, high in pairwise(cuts)])
    return host, holders, gpus


@given(nodes())
def test_all_holders_and_idle_bear_together_what_the_host_drew(
    node: tuple[list[EnergyWindow], list[list[Held]], int],
) -> None:
    host, holders, gpus = node
    found = [window for held in holders for window in measured(held, host, gpus)]
    assert total(found) == total(host)
    assert all(isinstance(window.energy_mj, Fraction) for window in found)
    stated = [window for held in holders for window in stated_per_node(held, Fraction(650), gpus)]
    assert total(stated) == 650 * 1000


def test_what_makes_no_sense_is_refused() -> None:
    one = [Held(0, 10, 1)]
    with pytest.raises(ValueError, match="watts is -1, but cannot be negative"):
        list(stated_per_gpu(one, Fraction(-1)))
    with pytest.raises(ValueError, match="gpus is -1, but cannot be negative"):
        list(stated_per_gpu([Held(0, 10, -1)], Fraction(1)))
    with pytest.raises(ValueError, match="0 GPUs installed"):
        list(stated_per_node(one, Fraction(1), 0))
    with pytest.raises(TypeError, match="watts must be an int or a Fraction, not float"):
        list(stated_per_node(one, 0.5, 4))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="energy_mj must be"):
        list(measured(one, [EnergyWindow(0, 10, 0.5)], 4))  # type: ignore[arg-type]
