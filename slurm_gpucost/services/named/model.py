"""What a named question is: its parameters, who may ask it, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from slurm_gpucost.domain.access import Viewer
from slurm_gpucost.services.named.scope import Scope
from slurm_gpucost.services.queries import LedgerQueries
from slurm_gpucost.settings import Settings

TEXT, TEXTS, FLAG, INTEGER = "text", "texts", "flag", "integer"
"""Kinds of parameters."""
OWN, ALL, COSTS = "own", "all", "costs"
"""Rights: anyone, and the answer is narrowed to what the viewer may see; who sees everyone; who sees costs."""
NEEDED, IF_THERE, UNUSED = "needed", "if there", "unused"
"""What becomes of the ledger."""
Row = dict[str, Any]


class Param(NamedTuple):
    """A parameter of a question."""

    name: str
    kind: str
    """TEXT, TEXTS (a list of them), FLAG (true or false) or INTEGER."""
    text: str
    """What it means."""
    default: Any = None
    required: bool = False


class Asked(NamedTuple):
    """A question as it is asked."""

    settings: Settings
    queries: LedgerQueries
    params: Mapping[str, Any]
    """All that the question has, checked, defaults filled in."""
    viewer: Viewer
    now_ms: int
    local: bool = False
    """Whoever asks opens the config and the ledger himself."""


class Answer(NamedTuple):
    """What comes back; JSON has all of it."""

    head: Row
    """``cluster``, ``timezone``, ``currency``, ``now`` (seconds since 1970), ``notes`` (lines for the person who asks),
    and what else a document needs beside the rows."""
    rows: Iterable[Row]


class Query(NamedTuple):
    """A question that has a name."""

    name: str
    text: str
    params: tuple[Param, ...]
    rights: str
    """OWN, ALL or COSTS."""
    run: Callable[[Asked, Scope], Answer]
    """Makes the rows, and what the head has beside the usual."""
    ledger: str = NEEDED
    costs: bool = False
    """Shows cost items, too, to those who may see them."""

    def shows_costs(self, viewer: Viewer) -> bool:
        """Whether this viewer's answer has cost items in it: then the look is to be written down."""
        return viewer.costs and (self.costs or self.rights == COSTS)


def texts(value: list[str] | None) -> list[str] | None:
    """A list as a filter has it; None: all."""
    return value or None
