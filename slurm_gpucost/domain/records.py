"""What the projection makes of evidence: attempts and leases. Field order is column order in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from slurm_gpucost.domain.evidence import AccountingRow, ControllerRow, HookEvent, SlotReport


class Attempt(NamedTuple):
    """One run of a job between a start and an end. Key: (cluster, job_id, submit_ms)."""

    cluster: str
    job_id: int
    submit_ms: int
    """Where only hooks know the attempt, the first thing they said stands in for it."""
    witness: str
    """``sacct``, ``scontrol`` or ``hooks``: the best that knows it. Only ``sacct`` makes it billable."""
    evidence: bytes
    """Digest of the accounting or controller row that decided; b'' for hooks."""
    state: str
    user: str
    account: str
    partition: str
    start_ms: int | None
    end_ms: int | None
    elapsed_ms: int | None
    """Net of suspension; None while it runs."""
    suspended_ms: int
    billable: int
    seen_ms: int
    """When the deciding evidence was observed."""


class Lease(NamedTuple):
    """An attempt held a quantity of a GRES from start to end. Key: (end_ms, cluster, job_id, submit_ms, n)."""

    end_ms: int
    """OPEN_END_MS while it runs."""
    cluster: str
    job_id: int
    submit_ms: int
    n: int
    """Ordinal within the attempt."""
    start_ms: int
    suspended_ms: int
    """Length of suspension, unbilled; its moments were not seen, so it lies at the lease's end."""
    seen_ms: int
    billable: int
    user: str
    account: str
    gres_name: str
    gres_type: str
    units: int
    share_num: int
    share_den: int
    """The lease's quantity is units x share_num / share_den devices; 0: the config does not say."""
    node: str | None
    gres_index: int | None
    device: str | None
    """NVML UUID."""
    device_evidence: str | None
    start_evidence: str
    end_evidence: str | None

    @property
    def share(self) -> Fraction | None:
        """Share of a device that each of ``units`` is; None where the config does not say."""
        return Fraction(self.share_num, self.share_den) if self.share_den else None


@dataclass(frozen=True, slots=True)
class JobEvidence:
    """All that was said of one job id on one cluster."""

    cluster: str
    job_id: int
    accounting: list[AccountingRow] = field(default_factory=list)
    hooks: list[HookEvent] = field(default_factory=list)
    controller: list[ControllerRow] = field(default_factory=list)


class Topology:
    """What projection must know beside a job's own evidence: slots of nodes, and shards per device by GRES type."""

    def __init__(self, slots: list[SlotReport], shards: Mapping[str, int]) -> None:
        self._shards = dict(shards)
        self._slots: dict[tuple[str, str, int], list[SlotReport]] = {}
        for slot in sorted(slots, key=lambda s: (s.observed_at_ms, s.device, s.gres_type)):
            self._slots.setdefault((slot.cluster, slot.node, slot.gres_index), []).append(slot)

    def shards(self, gres_type: str) -> int:
        """Shards per device of this GRES type; 0 where the config does not say."""
        return self._shards.get(gres_type, 0)

    def slot(self, cluster: str, node: str, index: int, at_ms: int) -> SlotReport | None:
        """What was in that slot at ``at_ms``: the last report before, or else the first one after.

        A report that names a device goes before one made while no driver could tell it.
        """
        reports = self._slots.get((cluster, node, index))
        if not reports:
            return None
        reports = [r for r in reports if r.device] or reports
        before = [r for r in reports if r.observed_at_ms <= at_ms]
        return before[-1] if before else reports[0]
