"""Which part of held time is billed: one ordered table of rules, of which the first that matches decides. Pure, exact.

A row has columns to match and a factor. There are no expressions, and every decision names the row that made it, so
that a charge can be explained and a table be checked whole (``policy_faults``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from slurm_gpucost.costing.exact import exact
from slurm_gpucost.domain.outages import CLASSES
from slurm_gpucost.domain.units import MS

RESERVED = "RESERVED"
"""No attempt: what a reservation keeps unused."""
STATES = tuple(
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PENDING PREEMPTED REQUEUED RESIZING REVOKED"
    f" RUNNING SUSPENDED TIMEOUT {RESERVED}".split()
)
"""What sacct can call an attempt: sacct(1), JOB STATE CODES; and :data:`RESERVED`. A preempted attempt is PREEMPTED
even where Slurm runs it again (``_job_requeue_op`` tells the accounting first), REQUEUED is one that was requeued by
hand or by its prolog."""
CAUSES = ("suspended", "cancelled_by_user", "cancelled_by_other", "vanished")
"""``suspended``: this part of the attempt was (only the scheduler and operators can do that); it goes before the
others. ``cancelled_by_...``: by its own user or another uid. ``vanished``: as ``Attempt.vanished``."""
DECLARED = "declared"
OUTAGES = (DECLARED, *CLASSES)
"""``declared``: an outage that the site declared, it goes before those that Slurm tells of a node."""
COLUMNS = ("state", "cause", "attempt", "qos", "partition", "account_class", "outage", "reservation")
NONE, ANY = "", "*"
"""Values of a text column: there is none; there is one, whichever."""
_NUMBERS = re.compile(r"([1-9]\d{0,8})(?:(\+)|-([1-9]\d{0,8}))?", re.ASCII)


class Facts(NamedTuple):
    """What is known of a part of an attempt; cut it where one of these changes (suspension, outages)."""

    state: str
    cause: str = NONE
    attempt: int = 1
    """Which run of its job, from 1."""
    qos: str = NONE
    partition: str = NONE
    account_class: str = NONE
    outage: str = NONE
    """Of its node, at that time."""
    reservation: str = NONE
    elapsed_ms: int = 0
    """Of the whole attempt, net of suspension; so far, if it has not ended."""


class Rule(NamedTuple):
    """A row of the table. It matches where all its columns do; a column that is not there, or empty, always does."""

    name: str
    factor: Fraction
    """The part of the time that is billed, 0 to 1. A surcharge is a line of its own, not a factor."""
    match: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """Values by column: one of them must be the fact. Of ``attempt``: ``1``, ``2-4``, ``2+``."""
    shorter_than_seconds: int | None = None
    """Only attempts whose ``elapsed_ms`` is shorter."""


class Decision(NamedTuple):
    """The row that decided (``row`` counts from 1) and its factor."""

    row: int
    rule: Rule
    factor: Fraction

    @property
    def text(self) -> str:
        """The row as people are told it."""
        return f"{self.rule.name} (rule {self.row})"


def decide(facts: Facts, rules: Sequence[Rule]) -> Decision:
    """The first row that matches. Raises ValueError if none does, TypeError if its factor is a float."""
    for row, rule in enumerate(rules, 1):
        if _matches(rule, facts):
            return Decision(row, rule, exact(rule.factor, "factor"))
    raise ValueError(f"no rule matches {facts}: the last row must match anything")


def _matches(rule: Rule, facts: Facts) -> bool:
    for column, values in rule.match.items():
        fact = getattr(facts, column)
        if not values or fact in values:
            continue
        if column == "attempt":
            if not any(low <= fact and (high is None or fact <= high) for low, high in numbers(values)):
                return False
        elif fact == NONE or ANY not in values:
            return False
    return rule.shorter_than_seconds is None or facts.elapsed_ms < rule.shorter_than_seconds * MS


@lru_cache(maxsize=1024)
def numbers(values: tuple[str, ...]) -> tuple[tuple[int, int | None], ...]:
    """``2``, ``2-4`` and ``2+`` as (first, last), last None without end. Raises ValueError naming what is neither."""
    found: list[tuple[int, int | None]] = []
    for text in values:
        form = _NUMBERS.fullmatch(text)
        if not form or (form[3] and int(form[3]) < int(form[1])):
            raise ValueError(f"'{text}' is no number of an attempt; write 1, 2-4 or 2+")
        found.append((int(form[1]), None if form[2] else int(form[3] or form[1])))
    return tuple(found)


def default_rules(preempted_free_seconds: int = 0) -> tuple[Rule, ...]:
    """The table of a site that declares none. Preempted attempts shorter than ``preempted_free_seconds`` are waived."""
    waived, billed = Fraction(0), Fraction(1)
    early = Rule("preempted early", waived, {"state": ("PREEMPTED",)}, preempted_free_seconds)
    return (
        Rule("suspended", waived, {"cause": ("suspended",)}),
        Rule("zero length", waived, {}, 1),
        Rule("never ran here", waived, {"state": ("REVOKED",)}),
        Rule("node failure", waived, {"state": ("NODE_FAIL", "BOOT_FAIL")}),
        Rule("declared outage", waived, {"outage": (DECLARED,)}),
        *([early] if preempted_free_seconds else []),
        Rule("held time", billed),
    )


DEFAULT_RULES = default_rules()
