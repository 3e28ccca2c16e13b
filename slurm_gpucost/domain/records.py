"""What the projection makes of evidence: attempts and leases. Field order is column order in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple, TypeVar

from slurm_gpucost.domain.evidence import AccountingRow, ControllerRow, HookEvent, NodeReport, SlotReport
from slurm_gpucost.domain.inventory import slot_types, units_per_device

_Report = TypeVar("_Report", NodeReport, SlotReport)


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
    vanished: int
    """1: the accounting lost it while it ran; its end is when it was last named there, and a person must look."""
    qos: str
    reservation: str
    run: int
    """Which run of its job it is, from 1, as far as the accounting has them. A change of size begins no other."""
    cancelled_by: int | None
    """The uid of ``CANCELLED by UID``."""


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
    suspended: str
    """'' while the job ran. Suspended time is leased, not billed: ``seen`` where the controller told its moments,
    ``inferred`` where only its length is known."""
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
    """Witness of node and index. ``sacct``: of the node alone. ``inferred``: spread evenly over the nodes."""
    start_evidence: str
    end_evidence: str | None
    prolog_ms: int | None
    """When the prolog of this attempt ran on the node."""
    epilog_ms: int | None
    """When its epilog last did: from the attempt's end until then Slurm lets nobody have the device."""
    state: str
    partition: str
    qos: str
    reservation: str
    run: int
    cancelled_by: int
    """-1: by nobody, or not told."""
    vanished: int

    @property
    def share(self) -> Fraction | None:
        """Share of a device that each of ``units`` is; None where the config does not say."""
        return Fraction(self.share_num, self.share_den) if self.share_den else None


class Vanished(NamedTuple):
    """The accounting had this attempt as not ended, and later does not know it any more (purged, or mended away)."""

    submit_ms: int
    last_named_ms: int
    """When it was last named: nothing is known of it after that."""
    observed_at_ms: int


@dataclass(frozen=True, slots=True)
class JobEvidence:
    """All that was said of one job id on one cluster."""

    cluster: str
    job_id: int
    accounting: list[AccountingRow] = field(default_factory=list)
    hooks: list[HookEvent] = field(default_factory=list)
    controller: list[ControllerRow] = field(default_factory=list)
    vanished: list[Vanished] = field(default_factory=list)


class Topology:
    """What projection must know beside a job's own evidence: slots of nodes, and what makes up a device."""

    def __init__(
        self, slots: Iterable[SlotReport], shards: Mapping[str, int], nodes: Iterable[NodeReport] = ()
    ) -> None:
        self._shards = dict(shards)
        self._slots: dict[tuple[str, str, int], list[SlotReport]] = {}
        for slot in sorted(slots, key=lambda s: (s.observed_at_ms, s.device, s.gres_type)):
            self._slots.setdefault((slot.cluster, slot.node, slot.gres_index), []).append(slot)
        self._nodes: dict[tuple[str, str], list[NodeReport]] = {}
        for node in sorted(nodes, key=lambda n: n.observed_at_ms):
            if node.gres:
                self._nodes.setdefault((node.cluster, node.node), []).append(node)

    def units_per_device(self, cluster: str, node: str | None, name: str, kind: str, at_ms: int) -> int:
        """Shards or MPS units that make up one device: the config's, else what the node has; 0: nobody says."""
        if name == "shard" and (configured := self._shards.get(kind) or self._shards.get("", 0)):
            return configured
        reports = self._nodes.get((cluster, node or ""))
        return units_per_device(_at(reports, at_ms).gres, name, kind) if reports else 0

    def type_of(self, cluster: str, node: str, index: int | None, at_ms: int) -> str:
        """The GRES type of a slot, as slurmd or else the controller's node says; '' where nobody does.

        Without an index it is the node's, if all its GPUs are of one type.
        """
        if index is not None and (report := self.slot(cluster, node, index, at_ms)) and report.gres_type:
            return report.gres_type
        reports = self._nodes.get((cluster, node))
        types = slot_types(_at(reports, at_ms).gres) if reports else []
        if index is None:
            return types[0] if len(set(types)) == 1 else ""
        return types[index] if index < len(types) else ""

    def slot(self, cluster: str, node: str, index: int, at_ms: int) -> SlotReport | None:
        """What was in that slot at ``at_ms``: the last report before, or else the first one after.

        A report that names a device goes before one made while no driver could tell it.
        """
        reports = self._slots.get((cluster, node, index))
        if not reports:
            return None
        return _at([r for r in reports if r.device] or reports, at_ms)


def _at(reports: list[_Report], at_ms: int) -> _Report:
    """The last report before ``at_ms``, or else the first one after; they are in order of time."""
    before = [r for r in reports if r.observed_at_ms <= at_ms]
    return before[-1] if before else reports[0]
