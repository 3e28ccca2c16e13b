"""Energy of held time in pools whose rate has two parts: measured, of hosts as stated, and imputed, each by itself.

What a lease drew is its part of its device's windows (:mod:`slurm_gpucost.domain.apportion`), in fractions of a mJ, so
that no sum depends on where a period is cut. Time that no window covers is imputed by rule, in lines of its own. The
billing rules decide on energy as on the time in which it was drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from slurm_gpucost.costing.energy import EnergyWindow, energy_lines
from slurm_gpucost.costing.exact import exact_decimal
from slurm_gpucost.costing.hosts import Held, stated_per_gpu
from slurm_gpucost.costing.imputation import NAMEPLATE, Nameplate, Observed, Power, imputed_windows, power
from slurm_gpucost.costing.lines import ENERGY, HOST_ENERGY, IMPUTED_ENERGY, WAIVED_ENERGY, Charge, LineKey, Priced
from slurm_gpucost.costing.periods import Period
from slurm_gpucost.costing.pools import pues
from slurm_gpucost.costing.terms import terms
from slurm_gpucost.domain.apportion import Holding, Key, portions, segments
from slurm_gpucost.services.quantities import Piece, pieces, place_of
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.services.usage import Measured, load
from slurm_gpucost.settings import Pool, Settings

NIL, ONE = Fraction(0), Fraction(1)


@dataclass
class _Drawn:
    """What is known of the energy of a piece of a lease."""

    piece: Piece
    sku: str
    gpus: Fraction
    """Of the whole GPU, where the device is known: a MIG instance is a part of one."""
    measured: list[EnergyWindow] = field(default_factory=list)
    covered: list[tuple[int, int, Fraction]] = field(default_factory=list)
    """[start, end) of windows, and the part of each in which energy was observed."""

    def unmeasured(self) -> Iterator[Held]:
        """The device time that no window covers; of a window that covers a part of its time, the rest of it."""
        at, devices = self.piece.start_ms, self.piece.devices
        for start, end, part in self.covered:
            if at < start:
                yield Held(at, start, devices)
            if part < 1:
                yield Held(start, end, devices * (1 - part))
            at = end
        if at < self.piece.end_ms:
            yield Held(at, self.piece.end_ms, devices)

    def observed(self) -> Observed:
        """What was measured, and the device time in which it was."""
        missing = sum((held.gpus * (held.end_ms - held.start_ms) for held in self.unmeasured()), NIL)
        held_ms = self.piece.devices * (self.piece.end_ms - self.piece.start_ms)
        return Observed(sum((one.energy_mj for one in self.measured), NIL), held_ms - missing)


class _Line(NamedTuple):
    """What energy is added up by, before it is priced."""

    cluster: str
    account: str
    user: str
    sku: str
    kind: str
    rule: str
    factor: Fraction


def charges(
    settings: Settings, queries: Queries, parts: Mapping[tuple[str, int], Priced], known_ms: int | None = None
) -> list[Charge]:
    """The energy of the parts whose prices bear none. Give all parts of a month: its mean power is imputed.

    Classes of accounts are as they are at ``known_ms``, else at the start.
    """
    found: list[Charge] = []
    for pool in settings.pools:
        own = [priced for (name, _), priced in sorted(parts.items(), key=lambda one: one[0]) if name == pool.name]
        if any(priced.rate_parts == 2 for priced in own):
            found += _of_pool(settings, queries, pool, own, known_ms)
    return found


def of_jobs(
    settings: Settings, queries: Queries, pool: Pool, period: Period, measured: Measured
) -> Iterator[tuple[str, str, list[EnergyWindow]]]:
    """(SKU, kind, what was drawn, before PUE) of all that jobs held of a pool in a period, billed or waived."""
    held = _held(settings, queries, pool, period.start_ms, period.end_ms, None)
    drawn = _measure(held, measured, Priced(period, {}))
    powers = _powers(pool, drawn)
    for one in drawn:
        for kind, _, windows in _kinds(pool, one, powers[one.sku]):
            yield one.sku, kind, windows


def _held(
    settings: Settings, queries: Queries, pool: Pool, start_ms: int, end_ms: int, known_ms: int | None
) -> list[tuple[Piece, str]]:
    return [
        (piece, place[1])
        for piece in pieces(settings, queries, start_ms, end_ms, known_ms)
        if (place := place_of(settings, piece.row)) and place[0] == pool.name
    ]


def _of_pool(
    settings: Settings, queries: Queries, pool: Pool, parts: list[Priced], known_ms: int | None
) -> Iterator[Charge]:
    start_ms, end_ms = parts[0].period.start_ms, parts[-1].period.end_ms
    held = _held(settings, queries, pool, start_ms, end_ms, known_ms)
    measured = load(queries, start_ms, end_ms, None)
    drawn = {priced.period.start_ms: _measure(held, measured, priced) for priced in parts}
    powers = _powers(pool, (one for those in drawn.values() for one in those))
    for priced in parts:
        if priced.rate_parts == 2:
            yield from _priced(pool, priced, drawn[priced.period.start_ms], powers)


def _measure(held: list[tuple[Piece, str]], measured: Measured, priced: Priced) -> list[_Drawn]:
    """What the pieces drew in a part, each cut to it."""
    start_ms, end_ms = priced.period.start_ms, priced.period.end_ms
    found: dict[Key, dict[int, _Drawn]] = {}
    for piece, sku in held:
        low, high = max(piece.start_ms, start_ms), min(piece.end_ms, end_ms)
        if low < high:
            cut = piece._replace(start_ms=low, end_ms=high)
            found.setdefault(piece.lease, {})[low] = _Drawn(cut, sku, piece.devices)
    for gpu, instances in measured.instances.items():
        whole = [one for device in (gpu, *instances) for one in measured.holdings.get(device, [])]
        if any(one.key in found for one in whole):
            holdings = [part for one in whole for part in _cut(one, found.get(one.key))]
            for segment in segments(measured.windows.get(gpu, []), holdings, start_ms, end_ms):
                window, length = segment.window, segment.window.end_ms - segment.window.start_ms
                part = Fraction(min(window.energy_observed_ms, length), length)
                share = {one.key: portion for one, portion in portions(segment.held)} if part else {}
                for one in segment.held:
                    mine = found.get(one.key, {}).get(one.start_ms)
                    if mine and part:
                        energy = Fraction(window.energy_mj * (segment.end_ms - segment.start_ms), length)
                        energy *= share.get(one.key, NIL)
                        mine.measured.append(EnergyWindow(segment.start_ms, segment.end_ms, energy))
                        mine.covered.append((segment.start_ms, segment.end_ms, part))
    return [drawn for those in found.values() for drawn in those.values()]


def _cut(holding: Holding, own: Mapping[int, _Drawn] | None) -> Iterator[Holding]:
    """A hold of a device as the pieces of its lease, which end where the accounting was last heard."""
    if own is None:
        yield holding
        return
    for one in own.values():
        one.gpus = holding.share
        yield holding._replace(start_ms=one.piece.start_ms, end_ms=one.piece.end_ms)


def _powers(pool: Pool, drawn: Iterable[_Drawn]) -> dict[str, Power]:
    """What unmeasured devices are taken to draw. Suspended time, in which nothing ran, is not in the mean."""
    seen: dict[str, Observed] = {}
    for one in drawn:
        if not one.piece.row["suspended"]:
            before, now = seen.get(one.sku, Observed(0, 0)), one.observed()
            seen[one.sku] = Observed(before.energy_mj + now.energy_mj, before.device_ms + now.device_ms)
    return {sku.name: power(seen, sku.name, Nameplate(sku.nameplate_watts, sku.load_factor)) for sku in pool.skus}


def _priced(pool: Pool, priced: Priced, drawn: list[_Drawn], powers: Mapping[str, Power]) -> Iterator[Charge]:
    period = priced.period
    sums: dict[_Line, list[EnergyWindow]] = {}
    for one in drawn:
        for kind, basis, windows in _kinds(pool, one, powers[one.sku]):
            row, decision = one.piece.row, one.piece.decision
            rule = f"{basis}, {decision.text}" if basis else decision.text
            line = _Line(row["cluster"], row["account"], row["user"], one.sku, kind, rule, decision.factor)
            sums.setdefault(line, []).extend(windows)
    during = terms(pool.costs.tariff, pues(pool.costs), pool.timezone, period.start_ms, period.end_ms)
    for line, windows in sorted(sums.items(), key=lambda one: one[0]):
        for found in energy_lines(windows, during):
            for kind, part, price in (
                (line.kind, line.factor, exact_decimal(found.price)),
                (WAIVED_ENERGY, 1 - line.factor, Decimal(0)),
            ):
                if part:
                    key = LineKey(pool.name, line.sku, line.user, period.start_ms, kind, line.rule, price)
                    yield Charge(line.cluster, line.account, key, found.kwh * part, NIL)


def _kinds(pool: Pool, one: _Drawn, unmeasured: Power) -> Iterator[tuple[str, str, list[EnergyWindow]]]:
    """(kind, rule of imputation, windows). A device's rated power has its host's share in it, so that is not added."""
    yield ENERGY, "", one.measured
    yield IMPUTED_ENERGY, unmeasured.rule, list(imputed_windows(one.unmeasured(), unmeasured))
    if unmeasured.rule != NAMEPLATE:
        held = Held(one.piece.start_ms, one.piece.end_ms, one.gpus)
        yield HOST_ENERGY, "", list(stated_per_gpu([held], pool.energy.host_watts_per_gpu))
