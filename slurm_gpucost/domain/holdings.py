"""What an attempt held: AllocTRES says how much, hooks and controller say which devices. Pure.

The quantity is always the accounting's. Devices are named only where what was seen fits it; the rest stays a row
without node and device, so nothing is lost and nothing is guessed.
"""

from __future__ import annotations

from typing import NamedTuple

from slurm_gpucost.domain.evidence import ControllerRow, HookEvent, decode_gres
from slurm_gpucost.domain.records import Attempt, Lease, Topology
from slurm_gpucost.domain.tres import GresCount, gpu_gres, parse_index_list
from slurm_gpucost.domain.units import OPEN_END_MS


class Seen(NamedTuple):
    """A slot that a witness saw the attempt hold."""

    node: str
    slot: int
    name: str
    """GRES name; '' where the witness does not tell a GPU from its shards (hooks)."""
    type: str
    units: int | None
    witness: str
    device: str | None


def leases_of(
    attempt: Attempt,
    alloc_tres: str,
    hooks: list[HookEvent],
    controller: list[ControllerRow],
    topology: Topology,
) -> list[Lease]:
    """The leases of one attempt, in a stable order. Without a start there are none."""
    if attempt.start_ms is None:
        return []
    if attempt.witness == "sacct":
        counts = gpu_gres(alloc_tres)
        if not counts:
            return []
        seen = _seen(hooks, controller) if hooks or controller else []
    else:
        seen = _seen(hooks, controller)
        counts = _counted(seen)
    if not seen:
        return [_lease(attempt, n, want, None, want.units, topology) for n, want in enumerate(counts)]
    rows: list[tuple[GresCount, Seen | None, int]] = []
    for want in counts:
        named = _assign(want, seen, counts, attempt, topology)
        rows += [(want, slot, units) for slot, units in named]
        rest = want.units - sum(units for _, units in named)
        if rest:
            rows.append((want, None, rest))
    return [_lease(attempt, n, want, slot, units, topology) for n, (want, slot, units) in enumerate(rows)]


def _seen(hooks: list[HookEvent], controller: list[ControllerRow]) -> list[Seen]:
    """Slots by node: the prolog's where it named any, else the controller's, else the epilog's."""
    by_hook: dict[str, dict[str, list[Seen]]] = {"prolog": {}, "epilog": {}}
    for event in hooks:
        indexes = parse_index_list(event.job_gpus or "")
        if not indexes:
            continue
        visible = (event.visible_devices or "").split(",")
        named = len(visible) == len(indexes) and all(v.startswith("GPU-") for v in visible)
        slots = by_hook[event.hook].setdefault(event.node, [])
        for position, index in enumerate(indexes):
            if all(s.slot != index for s in slots):
                device = visible[position] if named else None
                slots.append(Seen(event.node, index, "", "", None, event.hook, device))
    by_controller: dict[str, list[Seen]] = {}
    for row in controller:  # in order of time: the last word on a node stands
        said: dict[str, list[Seen]] = {}
        for gres in decode_gres(row.gres):
            said.setdefault(gres.node, []).extend(
                Seen(gres.node, i, gres.name, gres.type, units or None, "scontrol", None) for i, units in gres.units
            )
        by_controller.update(said)
    seen: list[Seen] = []
    for node in sorted({*by_hook["prolog"], *by_hook["epilog"], *by_controller}):
        from_controller = by_controller.get(node, [])
        slots = by_hook["prolog"].get(node) or from_controller or by_hook["epilog"][node]
        counted = {s.slot: s for s in from_controller}
        for slot in sorted(slots, key=lambda s: (s.name, s.slot)):
            twin = counted.get(slot.slot)
            if slot.witness != "scontrol" and twin is not None:
                slot = slot._replace(name=twin.name, type=twin.type, units=twin.units)
            seen.append(slot)
    return seen


def _counted(seen: list[Seen]) -> tuple[GresCount, ...]:
    """What was seen stands for what was allocated, where no accounting row says it."""
    totals: dict[tuple[str, str], int] = {}
    for slot in seen:
        key = (slot.name or "gpu", slot.type)
        totals[key] = totals.get(key, 0) + (slot.units or 1)
    return tuple(GresCount(name, kind, n) for (name, kind), n in sorted(totals.items()))


def _assign(
    want: GresCount, seen: list[Seen], counts: tuple[GresCount, ...], attempt: Attempt, topology: Topology
) -> list[tuple[Seen, int]]:
    """The seen slots that hold ``want``, with units each; [] where what was seen does not fit the accounting."""
    slots = [s for s in seen if s.name in ("", want.name)]
    kinds = {c.type for c in counts if c.name == want.name}
    if len(kinds) > 1:
        typed = [(s, _type_of(s, attempt, topology)) for s in slots]
        slots = [s for s, kind in typed if kind == want.type]
    if not slots:
        return []
    if want.name == "gpu":
        return [(s, 1) for s in slots] if len(slots) <= want.units else []
    known = [(s, s.units) for s in slots if s.units is not None]
    if len(known) == len(slots) and sum(units for _, units in known) <= want.units:
        return known
    if len(slots) == 1:
        return [(slots[0], want.units)]
    return [(s, 1) for s in slots] if len(slots) == want.units else []


def _type_of(slot: Seen, attempt: Attempt, topology: Topology) -> str:
    if slot.type:
        return slot.type
    assert attempt.start_ms is not None
    report = topology.slot(attempt.cluster, slot.node, slot.slot, attempt.start_ms)
    return report.gres_type if report else ""


def _lease(attempt: Attempt, n: int, want: GresCount, slot: Seen | None, units: int, topology: Topology) -> Lease:
    assert attempt.start_ms is not None
    evidence = attempt.witness if attempt.witness != "hooks" else "prolog"
    ended = attempt.witness if attempt.witness != "hooks" else "epilog"
    device = slot.device if slot else None
    if slot is not None and device is None:
        report = topology.slot(attempt.cluster, slot.node, slot.slot, attempt.start_ms)
        device = (report.device or None) if report else None
    if want.name == "gpu":
        num, den = 1, 1
    elif slot is None:
        num, den = 1, topology.shards(want.type) if want.name == "shard" else 0
    else:
        units, num, den = 1, units, topology.shards(want.type) if want.name == "shard" else 0
    return Lease(
        OPEN_END_MS if attempt.end_ms is None else attempt.end_ms,
        attempt.cluster, attempt.job_id, attempt.submit_ms, n, attempt.start_ms, attempt.suspended_ms, attempt.seen_ms,
        attempt.billable, attempt.user, attempt.account, want.name, want.type, units, num, den,
        slot.node if slot else None, slot.slot if slot else None, device, slot.witness if slot else None,
        evidence, None if attempt.end_ms is None else ended,
    )  # fmt: skip
