"""Random histories of one job against what truly happened, counted second by second."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.domain.evidence import AccountingRow, ControllerRow, HookEvent
from slurm_gpucost.domain.projection import project
from slurm_gpucost.domain.records import Lease
from tests.unit.builders import NOTHING, T0, accounting, controller, evidence, gpus, hook

Said = AccountingRow | HookEvent | ControllerRow


@dataclass(frozen=True)
class Truth:
    """One attempt as it was. Seconds after T0."""

    submit: int
    start: int
    end: int
    suspended: int
    held: dict[str, frozenset[int]]
    told: frozenset[tuple[str, int]]
    """Devices of nodes of which some witness named them for certain."""

    @property
    def devices(self) -> set[tuple[str, int]]:
        return {(node, i) for node, indexes in self.held.items() for i in indexes}


@dataclass(frozen=True)
class History:
    attempts: list[Truth]
    said: list[Said]


@st.composite
def histories(draw: st.DrawFn) -> History:
    exact_start = draw(st.booleans())  # 24.11 and later
    clock, submit = 5000 + draw(st.integers(0, 999)), 0
    attempts: list[Truth] = []
    said: list[Said] = []
    count = draw(st.integers(1, 3))
    for k in range(count):
        last = k == count - 1
        held = draw(
            st.dictionaries(
                st.sampled_from(["n1", "n2"]), st.frozensets(st.integers(0, 3), min_size=1), min_size=1, max_size=2
            )
        )
        start = clock // 1000
        prologs = {node: clock + draw(st.integers(10, 50)) for node in sorted(held)}
        # A requeued attempt ran for some seconds; the last one may be over at once.
        real_end = clock + 51 + draw(st.integers(0 if last else 2500, 90_000))
        end = real_end // 1000
        suspended = draw(st.integers(0, end - start))
        epilogs = {node: real_end + draw(st.integers(10, 1000)) for node in sorted(held)}
        told: set[tuple[str, int]] = set()
        for kind, times in (("prolog", prologs), ("epilog", epilogs)):
            for node, at in times.items():
                seen = draw(st.sampled_from(["whole", "no GPUs", "missing"]))
                if kind == "prolog" and seen == "no GPUs":
                    seen = "missing"
                if seen == "missing":
                    continue
                restart = k + (kind == "epilog" and not last)
                text = ",".join(map(str, sorted(held[node]))) if seen == "whole" else None
                told_start = T0 + start * 1000 if exact_start else None
                said.append(hook(kind, at, text, node, restart_count=restart, job_start_ms=told_start))
                if kind == "prolog" or exact_start or count == 1:  # else the epilog can be another run's
                    told |= {(node, i) for i in held[node]} if text else set()
        for poll in draw(st.lists(st.integers(start, end), max_size=2)):
            said.append(controller(poll, [gpus(n, *h) for n, h in held.items()], submit, start))
            told = {(node, i) for node, indexes in held.items() for i in indexes}
        total, nodes = sum(map(len, held.values())), ",".join(sorted(held))
        tres = f"cpu=1,gres/gpu:a100={total},gres/gpu={total},node={len(held)}"
        for poll in draw(st.lists(st.integers(start, end), max_size=2)):
            said.append(accounting(start, None, submit, tres, observed_at_ms=T0 + poll * 1000, node_list=nodes))
        state = "COMPLETED" if last else draw(st.sampled_from(["REQUEUED", "PREEMPTED", "NODE_FAIL"]))
        said.append(accounting(start, end, submit, tres, suspended=suspended, state=state, node_list=nodes))
        attempts.append(Truth(submit, start, end, suspended, held, frozenset(told)))
        submit = end
        clock = max(epilogs.values()) + draw(st.integers(1000, 200_000))
    if draw(st.booleans()):
        said.append(accounting(None, clock // 1000, clock // 1000 - 1, state="CANCELLED", suspended=0))
    return History(attempts, said)


def by_second(leases: list[Lease]) -> Counter[tuple[str | None, int | None, int]]:
    """(node, index, second) -> how many of it were held; the second counts from T0."""
    found: Counter[tuple[str | None, int | None, int]] = Counter()
    for lease in leases:
        assert lease.share == 1
        for second in range((lease.start_ms - T0) // 1000, (lease.end_ms - T0) // 1000):
            found[lease.node, lease.gres_index, second] += lease.units if not lease.suspended else 0
    return found


@settings(max_examples=200, deadline=None)
@given(histories(), st.data())
def test_any_order_and_any_repetition_give_the_same_rows(history: History, data: st.DataObject) -> None:
    first = project(evidence(*history.said), NOTHING)
    shuffled = data.draw(st.permutations(history.said + data.draw(st.lists(st.sampled_from(history.said), max_size=5))))
    # The ledger keeps what is said again once; the projection must hold even where it would not.
    again = project(evidence(*shuffled), NOTHING)
    assert sorted(again.attempts) == sorted(first.attempts)
    assert sorted(again.leases, key=repr) == sorted(first.leases, key=repr)
    assert project(evidence(*reversed(shuffled)), NOTHING) == again


@settings(max_examples=200, deadline=None)
@given(histories())
def test_every_attempt_is_billed_to_the_second_and_devices_are_those_held(history: History) -> None:
    attempts, leases = project(evidence(*history.said), NOTHING)
    ran = [a for a in attempts if a.start_ms is not None]
    assert all(a.witness == "sacct" and a.billable for a in attempts)
    assert len(ran) == len(history.attempts)
    for truth in history.attempts:
        mine = [x for x in leases if x.submit_ms == T0 + truth.submit * 1000]
        elapsed_raw = truth.end - truth.start - truth.suspended
        assert sum(by_second(mine).values()) == elapsed_raw * len(truth.devices)
        assert min(x.start_ms - T0 for x in mine) == truth.start * 1000
        assert max(x.end_ms - T0 for x in mine) == truth.end * 1000
        assert all(x.suspended == "inferred" for x in mine if x.end_ms - T0 > (truth.end - truth.suspended) * 1000)
        known = {(x.node, x.gres_index) for x in mine if x.gres_index is not None}
        assert truth.told <= known <= truth.devices
    assert len(leases) == sum(x.submit_ms in {T0 + t.submit * 1000 for t in history.attempts} for x in leases)
    held = by_second([x for x in leases if x.gres_index is not None and not x.suspended])
    assert all(count == 1 for count in held.values()), "a device was held twice at one moment"
