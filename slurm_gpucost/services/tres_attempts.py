"""Which attempts are billed by TRES, when, and what they held and blocked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction
from functools import cache, lru_cache

from slurm_gpucost.costing.lines import Priced
from slurm_gpucost.costing.tres_text import allocated
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.domain.inventory import Outage
from slurm_gpucost.services.belonging import Belonging
from slurm_gpucost.services.blocked import BlockedPiece, blocked_pieces
from slurm_gpucost.services.holds import SUSPENDED, AttemptKey, Row, key_of
from slurm_gpucost.services.quantities import Piece, pieces
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.services.rates import published, tres_spans
from slurm_gpucost.settings import Settings

Window = tuple[int, int]
"""[start, end) in ms UTC."""


class ByTres:
    """The attempts of the parts of pools that are billed by TRES, in a time in which no node goes to another pool.

    Raises ConfigError where time is rounded, too.
    """

    def __init__(
        self, settings: Settings, queries: Queries, parts: Mapping[tuple[str, int], Priced], known_ms: int | None
    ) -> None:
        """Classes of accounts are as they are at ``known_ms``, else at the start of each part."""
        self.settings, self.queries, self.parts, self.known_ms = settings, queries, parts, known_ms
        start = min(priced.period.start_ms for priced in parts.values())
        end = max(priced.period.end_ms for priced in parts.values())
        self.spans = tres_spans(settings, published(queries), start, end)
        """When each pool bills so, also where another pool's month has begun already or has not ended yet."""
        if self.spans and settings.billing.rounding.per:
            what = f"cannot round what pool {min(self.spans)} bills by TRES, by its published rates: remove it"
            raise ConfigError(f"{settings.path}: billing.rounding: {what}")
        belonging = Belonging(settings, queries, start, end)
        self.pools: dict[AttemptKey, str] = {}
        """The pool of each attempt that is billed by TRES at some time."""
        for row in self.attempts((start, end)) if self.spans else ():
            pool = belonging.pool_of(row)
            if pool in self.spans and pool is not None and read(row["alloc_tres"]) is not None:
                self.pools[key_of(row)] = pool
        self.held = cache(self._held)
        self.blocked = cache(self._blocked)

    def attempts(self, window: Window) -> list[Row]:
        """All attempts in a window, whoever bills them."""
        return self.queries.ask("node_holds", start_ms=window[0], end_ms=window[1])

    def _held(self, window: Window) -> list[Piece]:
        """What those billed by TRES held of all pools in a window."""
        found = pieces(self.settings, self.queries, *window, self.known_ms)
        return [one for one in found if one.lease[:3] in self.pools]

    def _blocked(self, pool: str, window: Window) -> list[BlockedPiece]:
        """What those billed by TRES blocked of a pool in a window."""
        (one,) = (one for one in self.settings.pools if one.name == pool)
        found = blocked_pieces(self.settings, self.queries, one, *window, self.known_ms)
        return [one for one in found if one.attempt in self.pools]

    def blocked_by(self, window: Window) -> dict[AttemptKey, list[BlockedPiece]]:
        """What each blocked of all pools in a window."""
        found: dict[AttemptKey, list[BlockedPiece]] = defaultdict(list)
        for pool in self.settings.pools:
            for one in self.blocked(pool.name, window):
                found[one.attempt].append(one)
        return found

    def stops(self, window: Window) -> dict[AttemptKey, list[Outage]]:
        """When those with leases were suspended, in order; those without are not there."""
        found: dict[AttemptKey, set[Outage]] = defaultdict(set)
        for one in self.held(window):
            stops = found[one.lease[:3]]
            if one.row["suspended"]:
                stops.add(Outage(one.start_ms, one.end_ms, SUSPENDED))
        return {key: sorted(stops) for key, stops in found.items()}


@lru_cache(maxsize=65536)
def read(alloc_tres: str) -> dict[str, Fraction] | None:
    """AllocTRES as numbers; None where it is none. Not to be changed."""
    try:
        return allocated(alloc_tres)
    except ValueError:
        return None
