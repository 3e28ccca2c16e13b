"""Which devices a hook concerns: only their windows are cut at its moment, so a small job does not cut all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slurm_gpucost.domain.evidence import DeviceReport, HookEvent
from slurm_gpucost.domain.tres import parse_index_list


def devices_of(
    event: HookEvent, slots: Mapping[tuple[str, int], str], listed: Iterable[DeviceReport]
) -> frozenset[str] | None:
    """The devices that a hook's job has on its node; None, any of them, where that is not certain.

    It is not without indexes (an epilog after slurmctld's restart), before `slurmd -G` and the driver have told what
    each (node, index) of ``slots`` is, and where a GPU is ``listed`` with MIG: its instances come and go.
    """
    indexes = parse_index_list(event.job_gpus or "")
    if not indexes or any(report.mig_mode for report in listed):
        return None
    found = [slots.get((event.node, index)) for index in indexes]
    return frozenset(device for device in found if device) if all(found) else None
