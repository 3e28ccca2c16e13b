"""What the witnesses say of a history: sacct, scontrol, hooks, slurmdbd's node events, as the real ones would.

Only the evidence's own types are imported: they are the interface. Nothing here knows what is made of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random

from slurm_gpucost.domain.evidence import AccountingRow, ControllerRow, HookEvent, NodeEvent, NodeReport, SlotReport
from tests.histories.truth import T0, History, Job, Part, Run

CLUSTER = "c"
Said = AccountingRow | ControllerRow | HookEvent


@dataclass
class Testimony:
    """All that was said; of nodes and slots in the order in which one daemon heard it."""

    accounting: list[AccountingRow] = field(default_factory=list)
    controller: list[ControllerRow] = field(default_factory=list)
    hooks: list[HookEvent] = field(default_factory=list)
    nodes: list[NodeReport | SlotReport | NodeEvent] = field(default_factory=list)
    vanished: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(job, submit ms, last named ms, missed ms)."""


def testimony(history: History, rng: Random, every_second: bool) -> Testimony:
    """What faultless witnesses say; ``every_second``: the controller was asked so often that nothing escaped it."""
    ask_accounting, ask_controller = rng.choice([7, 30, 60, 300]), 1 if every_second else rng.choice([5, 20, 60])
    said = Testimony()
    for run in history.runs:
        for part in run.parts:
            said.accounting += _accounting(history, run, part, ask_accounting, rng)
        said.controller += _controller(history, run, ask_controller, rng)
        said.hooks += _hooks(history, run, rng)
    for job in history.jobs:
        if not job.runs:
            said.accounting.append(_row(history, None, job.submit, job, T0 * 1000, "PENDING"))
    said.nodes = _nodes(history)
    return said


def _digest(*parts: object) -> bytes:
    return blake2b(repr(parts).encode(), digest_size=8).digest()


# Accounting.


def _accounting(history: History, run: Run, part: Part, every: int, rng: Random) -> list[AccountingRow]:
    """A row whenever what sacct says has changed since it was last asked, and now and then without a change."""
    lag = rng.randrange(6) if history.version == "22.05" else 0
    changes = [part.start, *(t for stop in part.stops for t in stop if t is not None)]
    looks = {t + every - t % every + lag for t in changes}
    looks |= {rng.randrange(part.start, history.end + 60) for _ in range(2)}
    ended = part.known if part.known is not None else history.end + 10**9
    found = []
    for look in sorted(t for t in looks if t - lag < ended):
        at = look - lag
        state = "SUSPENDED" if part.is_stopped(at) else "RUNNING"
        found.append(_row(history, (run, part), part.submit, run.job, look * 1000 + 400, state, at))
    if part.first and part.start > part.submit and rng.random() < 0.5:
        found.append(_row(history, None, part.submit, run.job, part.submit * 1000 + 900, "PENDING"))
    if part.known is not None:
        look = part.known + every - part.known % every + lag
        found.append(_row(history, (run, part), part.submit, run.job, look * 1000 + 400, part.state))
    return found


def _row(
    history: History, ran: tuple[Run, Part] | None, submit: int, job: Job, at_ms: int, state: str, at: int | None = None
) -> AccountingRow:
    start = end = elapsed = None
    stopped, nodes, tres = 0, "None assigned", ""
    if ran is not None:
        run, part = ran
        start = part.start
        if history.version == "22.05" and not part.first:
            start = run.parts[0].start  # 22.05 keeps the first Start
        if at is None:
            assert part.end is not None
            end = part.end
            stopped = part.stopped(end)
            elapsed = end - start - stopped
        else:
            stopped = part.stopped(at)
        nodes, tres = ",".join(sorted(part.places)), alloc_tres(history, run, part)
    array = job.array or (None, None)
    said = (
        "1", job.user, job.account, "main", "normal", "", "job", *array, None, None, state, None, "0:0",
        submit * 1000, _ms(start), _ms(end), _ms(elapsed), stopped * 1000,
        len(ran[1].places) if ran else 0, nodes, tres, "",
    )  # fmt: skip
    content: tuple[object, ...] = said
    if at is not None and state == "SUSPENDED":  # Suspended grows, ElapsedRaw stands still
        assert start is not None
        content = (*said[:-5], at - start - stopped, *said[-4:])
    return AccountingRow(CLUSTER, job.id, submit * 1000, _digest(*content), at_ms, *said)


def _ms(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1000


def alloc_tres(history: History, run: Run, part: Part) -> str:
    """AllocTRES: types beside the sum where they are tracked."""
    if run.job.kind == "shard":
        return f"cpu=1,gres/shard={sum(n for slots in part.places.values() for n in slots.values())},mem=1G"
    counts: dict[str, int] = {}
    for name, slots in part.places.items():
        for slot in slots:
            kind = history.nodes[name].types[slot]
            counts[kind] = counts.get(kind, 0) + 1
    typed = [f"gres/gpu:{kind}={n}" for kind, n in sorted(counts.items()) if kind] if history.tracked else []
    return ",".join(
        ["billing=1", "cpu=1", *typed, f"gres/gpu={sum(counts.values())}", "mem=1G", f"node={len(part.places)}"]
    )


# The controller.


def _controller(history: History, run: Run, every: int, rng: Random) -> list[ControllerRow]:
    """A row at the first look after each change; looks are ``every`` seconds, 0.3 s after the second."""
    changes = {(run.began_ms - 300) // 1000 + 1}
    for part in run.parts:
        changes |= {part.start, *(t for stop in part.stops for t in stop if t is not None)}
        if part.known is not None:
            changes.add(part.known)
    over = run.last.known
    found: list[ControllerRow] = []
    for look in sorted({t + -t % every for t in changes} | {t + 7 - t % 7 for t in changes if every == 1}):
        if look * 1000 + 300 < run.began_ms or look >= history.end + 60:
            continue
        if over is not None and look >= over:
            found += _after(history, run, look, rng)
            break
        part = [p for p in run.parts if p.start <= look][-1]
        found.append(
            _controller_row(history, run, part, look, "SUSPENDED" if part.is_stopped(look) else "RUNNING", None)
        )
    return found


def _after(history: History, run: Run, look: int, rng: Random) -> list[ControllerRow]:
    part = run.last
    ending = any(ms > look * 1000 + 300 for times in run.epilogs.values() for ms in times)
    if ending and rng.random() < 0.5:
        return [_controller_row(history, run, part, look, "COMPLETING", None)]
    if run.requeued or rng.random() < 0.5:  # pending again, or forgotten after MinJobAge
        return []
    return [_controller_row(history, run, part, look, part.state, part.end)]


def _controller_row(history: History, run: Run, part: Part, look: int, state: str, end: int | None) -> ControllerRow:
    gres: list[list[object]] = []
    for name, slots in sorted(part.places.items() if end is None else []):
        node = history.nodes[name]
        for kind in sorted({node.types[slot] for slot in slots}):
            units = [(s, n) for s, n in sorted(slots.items()) if node.types[s] == kind]
            if run.job.kind == "shard":
                told = history.version != "22.05" or len(units) == 1
                gres.append([name, "shard", kind, [[s, n if told else 0] for s, n in units]])
            else:
                gres.append([name, "gpu", kind, [[s, 1] for s, _ in units]])
    job = run.job
    before = [stop for stop in part.stops if stop[0] <= look]
    suspend = ran = 0
    if end is not None and part.known != part.end:  # it ended while suspended
        suspend, ran = end, end - part.start - part.stopped(end)
    elif before:
        last = before[-1]
        suspend = last[1] if last[1] is not None and last[1] <= look else last[0]
        ran = last[0] - part.start - sum((to or 0) - low for low, to in before[:-1])
    held = json.dumps(gres, separators=(",", ":"))
    said = (
        state, job.user, job.account, "main", run.parts[0].start * 1000, _ms(end), held,
        suspend * 1000 or None, ran * 1000,
    )  # fmt: skip
    return ControllerRow(CLUSTER, job.id, run.parts[0].submit * 1000, _digest(*said), look * 1000 + 300, *said)


# Hooks.


def _hooks(history: History, run: Run, rng: Random) -> list[HookEvent]:
    found = [_hook(history, run, "prolog", name, ms, True) for name, ms in run.prologs.items()]
    for name, times in run.epilogs.items():
        for ms in times:
            found.append(_hook(history, run, "epilog", name, ms, rng.random() < 0.8))
    return found


def _hook(history: History, run: Run, kind: str, name: str, at_ms: int, gpus: bool) -> HookEvent:
    slots = sorted(run.parts[0].places[name])
    if kind == "epilog" and len(run.parts) > 1 and name not in run.last.places:
        kept = next(p for p in run.parts if name not in p.places)  # seen: those that the job has left on its first node
        slots = sorted(kept.places[min(kept.places)])
    indexes = ",".join(map(str, slots)) if gpus else None
    visible = indexes
    if gpus and history.uuid_hooks:
        there = [slot for slot in slots if slot < len(history.nodes[name].cards)]
        visible = ",".join(history.card(name, slot, run.parts[0].start * 1000) for slot in there)
    count = run.number + (kind == "epilog" and run.requeued)
    start = run.parts[0].start * 1000 if history.version != "22.05" else None
    job = run.job
    said = (
        f"boot-{name}", f"{at_ms / 1000 - T0:.2f}", 1, job.uid, job.user, job.account, "main", count, start, indexes,
        visible, "0:0" if kind == "epilog" else None,
    )  # fmt: skip
    return HookEvent(CLUSTER, job.id, _digest(kind, name, *said), kind, name, at_ms, *said)


# Nodes.


def _nodes(history: History) -> list[NodeReport | SlotReport | NodeEvent]:
    said: list[tuple[int, int, NodeReport | SlotReport | NodeEvent]] = []
    for node in history.nodes.values():
        for at_ms, there in node.reports:
            said.append((at_ms, 0, NodeReport(CLUSTER, node.name, at_ms, node.gres if there else "")))
        if not node.reports:
            continue
        first = node.reports[0][0]
        for slot, cards in enumerate(node.cards):
            for i, (at_ms, uuid) in enumerate(cards):
                at_ms = max(first, at_ms)
                device = uuid if history.uuids else ""
                if i == 0 or history.uuids:
                    kind = node.types[slot]
                    said.append((at_ms, 1, SlotReport(CLUSTER, node.name, "gpu", slot, kind, device, at_ms)))
        for outage in node.outages:
            word = outage.class_.upper()
            for at, end in ((outage.start, None), (outage.end, outage.end)):
                if at is not None:
                    event = NodeEvent(
                        CLUSTER, node.name, outage.source, outage.start * 1000, at * 1000 + 700, _ms(end),
                        outage.class_, word, "", "root",
                    )  # fmt: skip
                    said.append((at * 1000 + 700, 2, event))
    return [what for _, _, what in sorted(said, key=lambda one: one[:2])]
