"""Which attempt of a job a controller row belongs to, and what rows of a resized job have in common. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from slurm_gpucost.domain.evidence import AccountingRow, ControllerRow, HookEvent, decode_gres, encode_gres
from slurm_gpucost.domain.hostlist import expand
from slurm_gpucost.domain.records import Attempt


def match_controller(row: ControllerRow, attempts: Sequence[Attempt]) -> int | None:
    """By Submit: a requeue gives the job a new one, a change of its size does not (:func:`along_resizes`)."""
    for i, attempt in enumerate(attempts):
        if attempt.submit_ms == row.submit_ms and attempt.witness != "hooks":
            return i
    return None


def along_resizes(
    rows: Sequence[AccountingRow], hooks: dict[int, list[HookEvent]], held: dict[int, list[ControllerRow]]
) -> set[int]:
    """Give each row of a resized job what was said of its nodes while it was another row. Changes both in place.

    Gives the places of the rows that go on after another: the prologs that name their devices ran before them.

    Hooks run once a node, at the job's own start and end, and SLURM_JOB_START_TIME and the controller's SubmitTime
    stay those of the first row (22.05: Start too; seen on 22.05, 24.11, 26.05).
    """
    gone_on: set[int] = set()
    for chain in _chains(rows):
        gone_on.update(chain[1:])
        nodes = {i: nodes_of(rows[i].node_list) for i in chain}
        events = sorted((e for i in chain for e in hooks.get(i, [])), key=lambda e: (e.at_ms, e.digest))
        looks = sorted(
            ((r, i) for i in chain for r in held.get(i, [])), key=lambda p: (p[0].observed_at_ms, p[0].digest)
        )
        last = {node: i for i in chain for node in nodes[i]}
        for i in chain:
            hooks[i] = [e for e in events if e.node in nodes[i] and (e.hook == "prolog" or last[e.node] == i)]
            held[i] = [_on(nodes[i], row, own=i == home) for row, home in looks]
    return gone_on


def _chains(rows: Sequence[AccountingRow]) -> Iterator[list[int]]:
    """Rows of one run: each begins, and is submitted, when the one before changed its size."""
    chain: list[int] = []
    for i, row in enumerate(rows):
        before = rows[i - 1] if i else None
        if before is None or before.state != "RESIZING" or before.end_ms != row.submit_ms:
            if len(chain) > 1:
                yield chain
            chain = []
        chain.append(i)
    if len(chain) > 1:
        yield chain


def nodes_of(node_list: str) -> frozenset[str]:
    """The nodes of a row; empty where it names none."""
    try:
        return frozenset(expand(node_list)) if node_list not in ("", "None assigned") else frozenset()
    except ValueError:
        return frozenset()


def seen_on(rows: Iterable[ControllerRow]) -> frozenset[str]:
    """The nodes on which the controller showed devices."""
    return frozenset(gres.node for row in rows for gres in decode_gres(row.gres))


def _on(nodes: frozenset[str], row: ControllerRow, own: bool) -> ControllerRow:
    """A look at the job, of these nodes alone; of another row's look the devices count, not its suspension."""
    row = row._replace(gres=encode_gres(gres for gres in decode_gres(row.gres) if gres.node in nodes))
    return row if own else row._replace(suspend_ms=None)
