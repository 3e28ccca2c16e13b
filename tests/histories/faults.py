"""What goes wrong between what happened and what is heard of it. Each fault takes testimony and gives what is left.

Those of the first kind must never cost anyone a second or name a device that was another's; those ``BEYOND`` bounds,
where a node's clock or a file's time is off by more than the product promises to bear, may name a wrong device, and
still move no money.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from slurm_gpucost.domain.evidence import AccountingRow
from tests.histories.truth import History
from tests.histories.witnesses import Testimony

CLOCK_BEHIND_MS, CLOCK_AHEAD_MS = 60_000, 900
"""How far a node's clock may be from the controller's."""
DAY_MS = 86_400_000
Fault = Callable[[History, Testimony, Random], None]


def hooks_lost(history: History, said: Testimony, rng: Random) -> None:
    """Some event files never arrive."""
    share = rng.choice([0.1, 0.5, 0.9])
    said.hooks = [event for event in said.hooks if rng.random() > share]


def a_node_without_hooks(history: History, said: Testimony, rng: Random) -> None:
    """They were not installed there."""
    node = rng.choice(sorted(history.nodes))
    said.hooks = [event for event in said.hooks if event.node != node]


def one_hook_alone(history: History, said: Testimony, rng: Random) -> None:
    """Only the prolog, or only the epilog, is configured."""
    kind = rng.choice(["prolog", "epilog"])
    said.hooks = [event for event in said.hooks if event.hook == kind]


def hooks_copied(history: History, said: Testimony, rng: Random) -> None:
    """Files restored from a copy arrive again, with a later modification time."""
    copies = [event for event in said.hooks if rng.random() < 0.4]
    said.hooks += [event._replace(at_ms=event.at_ms + rng.randrange(1, 3 * DAY_MS)) for event in copies]


def clocks_off(history: History, said: Testimony, rng: Random) -> None:
    """Each node's clock is a little off."""
    offsets = {name: rng.randrange(-CLOCK_BEHIND_MS, CLOCK_AHEAD_MS) for name in history.nodes}
    said.hooks = [event._replace(at_ms=event.at_ms + offsets[event.node]) for event in said.hooks]


def clocks_far_off(history: History, said: Testimony, rng: Random) -> None:
    """A node's clock is off by hours."""
    node, offset = rng.choice(sorted(history.nodes)), rng.choice([-1, 1]) * rng.randrange(200_000, DAY_MS)
    said.hooks = [event._replace(at_ms=event.at_ms + offset) if event.node == node else event for event in said.hooks]


def only_late_copies(history: History, said: Testimony, rng: Random) -> None:
    """Only the copies arrive: their time is days after the hook."""
    said.hooks = [
        event._replace(at_ms=event.at_ms + rng.randrange(3 * DAY_MS)) if rng.random() < 0.3 else event
        for event in said.hooks
    ]


def ends_not_told(history: History, said: Testimony, rng: Random) -> None:
    """The accounting did not get to hear how some attempts ended, and still has them as running."""
    share = rng.choice([0.1, 0.5])
    said.accounting = [row for row in said.accounting if row.end_ms is None or rng.random() > share]


def rows_lost(history: History, said: Testimony, rng: Random) -> None:
    """Of some jobs, or some of their attempts, it never told anything."""
    share = rng.choice([0.1, 0.4])
    lost = {row[1:3] for row in said.accounting if rng.random() < share}
    said.accounting = [row for row in said.accounting if row[1:3] not in lost]


def only_the_end_told(history: History, said: Testimony, rng: Random) -> None:
    """It was asked when all was over."""
    said.accounting = [row for row in said.accounting if row.end_ms is not None or row.start_ms is None]


def polls_missed(history: History, said: Testimony, rng: Random) -> None:
    """Some looks at what runs were not taken."""
    said.accounting = [row for row in said.accounting if row.end_ms is not None or rng.random() < 0.5]


def runaways_mended(history: History, said: Testimony, rng: Random) -> None:
    """Some ends were lost, and long after ``sacctmgr show runaway`` put them at the start."""
    for i, row in enumerate(said.accounting):
        if row.end_ms is not None and row.state != "RESIZING" and rng.random() < 0.3:
            later = row.observed_at_ms + rng.randrange(DAY_MS)
            start = max(row.start_ms or 0, row.submit_ms)
            mended = row._replace(state="COMPLETED", start_ms=start, end_ms=start, elapsed_ms=0, suspended_ms=0)
            said.accounting[i] = mended._replace(observed_at_ms=later, digest=b"mended" + row.digest[:2])


def rows_vanished(history: History, said: Testimony, rng: Random) -> None:
    """Some attempts were purged while they ran, and the daemon missed them."""
    ends_not_told(history, said, rng)
    running: dict[tuple[int, int], AccountingRow] = {}
    ended = {row[1:3] for row in said.accounting if row.end_ms is not None}
    for row in sorted(said.accounting, key=lambda r: r.observed_at_ms):
        if row.start_ms is not None:
            running[row[1:3]] = row
    for (job, submit), row in running.items():
        if (job, submit) not in ended and rng.random() < 0.7:
            named = row.observed_at_ms + rng.choice([0, rng.randrange(60_000)])
            said.vanished.append((job, submit, named, named + rng.randrange(1, 600_000)))


def controller_gaps(history: History, said: Testimony, rng: Random) -> None:
    """The controller was not asked for a while, or hardly ever."""
    share = rng.choice([0.2, 0.6, 0.95])
    said.controller = [row for row in said.controller if rng.random() > share]


def no_controller(history: History, said: Testimony, rng: Random) -> None:
    """It was never asked."""
    said.controller = []


HOOKS: tuple[Fault, ...] = (hooks_lost, a_node_without_hooks, one_hook_alone, hooks_copied, clocks_off)
ACCOUNTING: tuple[Fault, ...] = (
    ends_not_told, rows_lost, only_the_end_told, polls_missed, runaways_mended, rows_vanished,
)  # fmt: skip
CONTROLLER: tuple[Fault, ...] = (controller_gaps, no_controller)
BEYOND: tuple[Fault, ...] = (clocks_far_off, only_late_copies)


def some(rng: Random, beyond: bool) -> list[Fault]:
    """One to four faults of any kind."""
    found = rng.sample([*HOOKS, *ACCOUNTING, *CONTROLLER, *CONTROLLER], rng.randrange(1, 5))
    found.sort(key=lambda fault: fault is hooks_copied)  # last: a copy whose original is lost has a time beyond bounds
    return [*found, rng.choice(BEYOND)] if beyond else found
