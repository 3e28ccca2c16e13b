"""Use without a lease and leases without use, from the ledger, as rows for a person or a machine."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

from slurm_gpucost.domain.apportion import Key
from slurm_gpucost.domain.findings import idle_leases, orphan_use
from slurm_gpucost.domain.occupancy import DeviceProcess
from slurm_gpucost.domain.units import MS
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.services.usage import Measured, load, usage
from slurm_gpucost.settings import Settings


def orphans(queries: Queries, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
    """Use of devices by who did not hold them in [start_ms, end_ms), in order of time.

    Keys: kind (unheld, foreign, system), device, start_ms, end_ms, uid (None: no process was seen), user, executable,
    busy_ms, energy_mj; :class:`slurm_gpucost.domain.findings.OrphanUse` says what they mean.
    """
    measured = load(queries, start_ms, end_ms, None)
    every = json.dumps(sorted([*measured.instances, *(one for parts in measured.instances.values() for one in parts)]))
    processes: dict[str, list[DeviceProcess]] = {}
    for row in queries.ask("device_processes", devices=every, start_ms=start_ms, end_ms=end_ms):
        processes.setdefault(row["device"], []).append(DeviceProcess(**row))
    found = [
        use
        for gpu, instances in measured.instances.items()
        for device in [gpu, *instances]
        for use in orphan_use(
            device,
            measured.windows.get(device, []),
            [held for one in _related(measured, gpu, device) for held in measured.holdings.get(one, [])],
            measured.released,
            processes.get(device, []),
            start_ms,
            end_ms,
        )
    ]
    return [use._asdict() for use in sorted(found, key=lambda use: (use.start_ms, use.device, use.kind))]


def _related(measured: Measured, gpu: str, device: str) -> list[str]:
    """The devices whose holders hold this one too: a GPU is held by who holds a part of it, and a part with the GPU."""
    return [gpu, *measured.instances[gpu]] if device == gpu else [gpu, device]


def idle(settings: Settings, queries: Queries, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
    """Leases that idled for long enough in [start_ms, end_ms), most GPU time first.

    Keys: cluster, job_id, submit_ms, n, user, device, idle_seconds, observed_seconds, gpu_idle_seconds; seconds are
    rounded down. A minute is idle by the threshold that was set when it was measured.
    """
    measured = load(queries, start_ms, end_ms, None)
    who: dict[Key, tuple[str, str]] = {}
    shares: dict[Key, Fraction] = {}
    for device, holdings in measured.holdings.items():
        for held in holdings:
            who[held.key], shares[held.key] = (held.user, device), held.share
    used = {
        key: one for device in usage(queries, start_ms, end_ms).devices.values() for key, one in device.leases.items()
    }
    return [
        {
            "cluster": found.key[0],
            "job_id": found.key[1],
            "submit_ms": found.key[2],
            "n": found.key[3],
            "user": who[found.key][0],
            "device": who[found.key][1],
            "idle_seconds": found.idle_ms // MS,
            "observed_seconds": found.observed_ms // MS,
            "gpu_idle_seconds": int(found.gpu_idle_ms / MS),
        }
        for found in idle_leases(used, shares, settings.idle_minimum_minutes * 60 * MS)
    ]
