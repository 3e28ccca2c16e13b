"""What must hold of a ledger, given what happened and what was said of it. Each check gives what is wrong, in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from fractions import Fraction

from slurm_gpucost.domain.evidence import AccountingRow
from tests.histories import brute
from tests.histories.truth import T0, History, Part, Run
from tests.histories.witnesses import Testimony

OPEN_END = (1 << 62) - 1


def money(history: History, said: Testimony, db: sqlite3.Connection) -> Iterator[str]:
    """To each part that the accounting told of, once, its owner, its seconds and its devices; to others nothing."""
    billed: dict[tuple[int, int], dict[bool, Fraction]] = {}
    for job, submit, start, end, suspended, units, num, den in db.execute(
        "SELECT job_id, submit_ms, start_ms, end_ms, suspended, units, share_num, share_den FROM lease "
        "WHERE billable = 1 AND end_ms < ?",
        (OPEN_END,),
    ):
        sums = billed.setdefault((job, submit), {False: Fraction(0), True: Fraction(0)})
        sums[suspended != ""] += Fraction((end - start) * units * num, den)
    attempts = {
        (job, submit): rest
        for job, submit, *rest in db.execute(
            "SELECT job_id, submit_ms, user, account, start_ms, end_ms, elapsed_ms, suspended_ms, vanished "
            "FROM attempt WHERE witness = 'sacct' AND start_ms IS NOT NULL"
        )
    }
    for run in history.runs:
        for part in run.parts:
            key = (run.job.id, part.submit * 1000)
            rows = [row for row in said.accounting if row[1:3] == key and row.start_ms is not None]
            attempt = attempts.pop(key, None)
            if not rows:
                if attempt is not None:
                    yield f"{key}: billed, and the accounting never told that it ran"
                continue
            yield from _one(history, run, part, rows, said, attempt, billed.pop(key, {False: 0, True: 0}))
    if attempts or any(sum(sums.values()) for sums in billed.values()):
        yield f"billed and never ran: {sorted(attempts)} {sorted(billed)}"


def _one(
    history: History, run: Run, part: Part, rows: list[AccountingRow], said: Testimony,
    attempt: list[object] | None, billed: dict[bool, Fraction] | dict[bool, int],
) -> Iterator[str]:  # fmt: skip
    key = (run.job.id, part.submit * 1000)
    start, final = part.start * 1000, [row for row in rows if row.end_ms is not None]
    end: int | None
    if final:
        fixed = max(final, key=lambda row: row.observed_at_ms)
        assert fixed.elapsed_ms is not None
        end = fixed.end_ms
        stopped = fixed.suspended_ms
    else:
        last = max(rows, key=lambda row: row.observed_at_ms)
        since = last.observed_at_ms
        gone = [named for *lost, named, missed in said.vanished if tuple(lost) == key and missed > since]
        end = max(start, gone[0] // 1000 * 1000) if gone else None
        stopped = last.suspended_ms
        if end is not None:  # what was suspended when it was last looked at stayed so, for all that is known
            stopped += max(0, end - since // 1000 * 1000) if last.state == "SUSPENDED" else 0
            stopped = min(stopped, end - start)
    elapsed = None if end is None else end - start - stopped
    wanted = [run.job.user, run.job.account, start, end, elapsed, stopped, int(not final and end is not None)]
    if elapsed is None and attempt is not None:  # of what still runs, Suspended is the first that was told
        wanted[5] = attempt[5]
    if attempt != wanted:
        yield f"{key}: attempt {attempt}, and it was {wanted}"
    if elapsed is None:
        return
    devices = sum(history.share(run.job, node, n) for node, slots in part.places.items() for n in slots.values())
    if (billed[False], billed[True]) != (elapsed * devices, stopped * devices):
        yield f"{key}: billed {billed} device-ms, and it was {elapsed * devices} and {stopped * devices} suspended"


def devices(history: History, db: sqlite3.Connection, slack_ms: int = 0) -> Iterator[str]:
    """A lease names a slot only if its attempt held so much of it, then; and the card that was in it.

    ``slack_ms``: how far the clocks are off by which attempts begin that hooks alone know.
    """
    parts: dict[int, list[tuple[Run, Part]]] = {}
    for run in history.runs:
        parts.setdefault(run.job.id, []).extend((run, part) for part in run.parts)
    for job, submit, witness, user, node, slot, device, units, num, den, start in db.execute(
        "SELECT l.job_id, l.submit_ms, a.witness, l.user, node, gres_index, device, units, share_num, share_den, "
        "l.start_ms FROM lease l JOIN attempt a USING (cluster, job_id, submit_ms) WHERE gres_index IS NOT NULL"
    ):
        said = f"({job}, {submit}) by {witness}: {node} slot {slot}"
        held = [
            (run, part)
            for run, part in parts.get(job, [])
            if _held(run, part, witness, submit, node, slot, start, slack_ms)
        ]
        if not held:
            yield f"{said}: never held by it then"
        elif all(run.job.user != user for run, _ in held):
            yield f"{said}: to {user}"
        elif witness == "hooks" and slack_ms:
            continue  # and what was in the slot by a clock that is off
        elif device is not None and all(device != history.card(node, slot, run.began_ms) for run, _ in held):
            yield f"{said}: {device} was not in it"
        elif witness == "sacct" and den:
            run, part = held[0]
            share = history.share(run.job, node, part.places[node][slot])
            if Fraction(units * num, den) != share:
                yield f"{said}: {units * num}/{den}, and it was {share}"


def _held(
    run: Run, part: Part, witness: str, submit: int, node: str, slot: int, start_ms: int, slack_ms: int
) -> bool:  # fmt: skip
    if slot not in part.places.get(node, {}):
        return False
    if witness != "hooks":
        return submit in (part.submit * 1000, run.parts[0].submit * 1000 if witness == "scontrol" else -1)
    # What hooks alone know begins with what they first said.
    until = max([*run.epilogs.get(node, []), (run.last.known or 1 << 40) * 1000])
    return run.parts[0].start * 1000 - slack_ms <= start_ms <= until + slack_ms


def timeline(history: History, db: sqlite3.Connection, moments_seen: bool) -> Iterator[str]:
    """At every moment every slot did what it truly did; where a lease is known by node alone, its node did.

    Without ``moments_seen`` nobody saw when jobs were suspended: then running and suspended are not looked at. On 22.05
    it cannot always be told whose an epilog of a requeued job is: then idle and completing count together.
    """
    moments = brute.moments_of(history)
    was, is_said = brute.truth(history, moments), brute.ledger(db, moments)
    for node in history.nodes.values():
        unplaced = is_said.get((node.name, -1, "unplaced"))
        slots = range(len(node.types))
        words: list[tuple[str, ...]] = [(f"unavailable {name}",) for name in brute.PRECEDENCE]
        words += [("idle", "completing")] if history.version == "22.05" else [("idle",), ("completing",)]
        if moments_seen:
            words += [("running",), ("suspended",)]
        for what in words:
            left = [was.sum([(node.name, slot, word) for word in what]) for slot in slots]
            right = [is_said.sum([(node.name, slot, word) for word in what]) for slot in slots]
            yield from _compare(history, node.name, " and ".join(what), left, right, unplaced, moments)


def _compare(
    history: History, node: str, what: str, left: list[list[int]], right: list[list[int]], unplaced: list[int],
    moments: list[int],
) -> Iterator[str]:  # fmt: skip
    for slot, (was, is_said) in enumerate(zip(left, right, strict=True)):
        if was == is_said:
            continue
        for i, at in enumerate(moments):
            if was[i] != is_said[i] and not unplaced[i]:
                yield f"{node} slot {slot} at {at - T0 * 1000} ms: {what} {is_said[i]}/12, and it was {was[i]}/12"
                break
    if not what.startswith("unavailable") or not any(unplaced):
        return
    for i, at in enumerate(moments):
        if unplaced[i] and sum(row[i] for row in left) != sum(row[i] for row in right):
            yield f"{node} at {at - T0 * 1000} ms: {what} is not the node's {sum(row[i] for row in left)}/12"
            return


def no_strays(db: sqlite3.Connection) -> Iterator[str]:
    """Faultless witnesses leave nothing that the accounting does not know."""
    for row in db.execute("SELECT job_id, submit_ms, witness, start_ms, end_ms FROM attempt WHERE witness <> 'sacct'"):
        yield f"an attempt that {row[2]} alone knows: {row}"
