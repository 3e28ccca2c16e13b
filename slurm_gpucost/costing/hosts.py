"""What a host draws beside its GPUs (processors, memory, fans), divided among those who held its GPUs. Pure, exact.

It is stated (watts per node, or per GPU) or measured. A holder gets it by the GPUs held, of those installed; the part
of the GPUs that nobody held is idle, nobody's. It is added to the GPUs' energy before PUE.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from slurm_gpucost.costing.energy import EnergyWindow
from slurm_gpucost.costing.exact import exact, time_span, whole


class Held(NamedTuple):
    """GPUs of one node that one lease (or idle) held in [start, end) ms UTC; parts of GPUs count as such."""

    start_ms: int
    end_ms: int
    gpus: int | Fraction


def stated_per_gpu(held: Iterable[Held], watts: Fraction) -> Iterator[EnergyWindow]:
    """So many watts for each GPU held. 1 W for 1 ms is 1 mJ. Raises ValueError for negative watts or GPUs."""
    watts = _not_negative(watts, "watts")
    for one in _longer_than_nothing(held):
        length = one.end_ms - one.start_ms
        yield EnergyWindow(one.start_ms, one.end_ms, watts * _not_negative(one.gpus, "gpus") * length)


def stated_per_node(held: Iterable[Held], watts: Fraction, installed: int) -> Iterator[EnergyWindow]:
    """So many watts for the node, by the GPUs held of those installed. Raises ValueError as ``stated_per_gpu``."""
    return stated_per_gpu(held, exact(watts, "watts") / _installed(installed))


def measured(held: Iterable[Held], host: Sequence[EnergyWindow], installed: int) -> Iterator[EnergyWindow]:
    """What was measured at the host beside its GPUs, by the GPUs held of those installed.

    ``host`` in order of time, none overlapping; time between them is unmeasured and gets nothing. For a meter before
    the power supply, subtract the GPUs' energy first.
    """
    installed = _installed(installed)
    starts = [one.start_ms for one in host]
    for one in _longer_than_nothing(held):
        gpus = _not_negative(one.gpus, "gpus")
        at = max(0, bisect_right(starts, one.start_ms) - 1)
        while at < len(host) and host[at].start_ms < one.end_ms:
            window = host[at]
            start, end = max(window.start_ms, one.start_ms), min(window.end_ms, one.end_ms)
            if start < end:
                share = gpus * (end - start) / (installed * (window.end_ms - window.start_ms))
                yield EnergyWindow(start, end, exact(window.energy_mj, "energy_mj") * share)
            at += 1


def _longer_than_nothing(held: Iterable[Held]) -> Iterator[Held]:
    return (one for one in held if len(set(time_span(one.start_ms, one.end_ms))) == 2)


def _installed(number: int) -> int:
    if whole(number, "installed") < 1:
        raise ValueError(f"{number} GPUs installed: what a node draws cannot be divided by that")
    return number


def _not_negative(value: object, name: str) -> Fraction:
    found = exact(value, name)
    if found < 0:
        raise ValueError(f"{name} is {found}, but cannot be negative")
    return found
