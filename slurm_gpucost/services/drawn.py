"""What jobs' held time drew: measured, unmeasured and of hosts, added up by owner and by the terms of the moment.

What a lease drew is its part of its device's windows (:mod:`slurm_gpucost.domain.apportion`), in fractions of a mJ, so
that no sum depends on where a period is cut. So it is read slice by slice, and neither leases nor windows are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from slurm_gpucost.costing.energy import EnergyLine, EnergySums
from slurm_gpucost.costing.exact import plain
from slurm_gpucost.costing.imputation import NAMEPLATE, Nameplate, Observed, Power, power
from slurm_gpucost.costing.lines import ENERGY, HOST_ENERGY, IMPUTED_ENERGY
from slurm_gpucost.costing.periods import Period
from slurm_gpucost.costing.rated import pues
from slurm_gpucost.costing.terms import Terms, terms
from slurm_gpucost.domain.apportion import Holding, Key, portions, segments
from slurm_gpucost.domain.readings import Window
from slurm_gpucost.domain.units import HOUR_MS
from slurm_gpucost.services.quantities import Piece, pieces, place_of
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.services.usage import Measured, load
from slurm_gpucost.settings import Pool, Settings

NIL = Fraction(0)
SLICE_DEVICE_HOURS, LEAST_HOURS, MOST_HOURS = 40_000, 6, 168
"""A slice has so many hours of devices that were measured, and so many hours at least and at most."""
Parts = Mapping[tuple[str, int], Period]
"""Parts of pools' periods by pool and beginning, each pool's one after the other."""


class Owner(NamedTuple):
    """Whose energy it is, and which billing rule decides on it."""

    pool: str
    start_ms: int
    """Of the part of the period."""
    cluster: str
    account: str
    user: str
    sku: str
    rule: str
    factor: Fraction
    """The part that is billed."""


class Drawn(NamedTuple):
    """Energy of one owner and kind."""

    owner: Owner
    kind: str
    """ENERGY, IMPUTED_ENERGY or HOST_ENERGY."""
    basis: str
    """The rule of imputation; '' of what was not imputed."""
    energy_mj: Fraction
    """Before PUE."""
    lines: list[EnergyLine]

    @property
    def kwh(self) -> Fraction:
        """At the site's meter."""
        return sum((line.kwh for line in self.lines), NIL)

    @property
    def grams(self) -> Fraction:
        """CO2e."""
        return sum((line.grams for line in self.lines), NIL)


@dataclass
class _Sums:
    measured: EnergySums
    unmeasured: EnergySums
    """Device-ms that no window covers, as if 1 W were drawn: 1 W for 1 ms is 1 mJ."""
    hosted: EnergySums
    """GPU-ms held, in the same way."""


@dataclass
class _Lease:
    """What is known of the energy of a piece of a lease."""

    piece: Piece
    owner: Owner
    gpus: Fraction
    """Of the whole GPU, where the device is known: a MIG instance is a part of one."""
    measured: list[tuple[int, int, int | Fraction, int | Fraction]] = field(default_factory=list)
    """[start, end) of windows, their energy in mJ, and the part of each in which it was observed."""

    def unmeasured(self) -> Iterator[tuple[int, int, int | Fraction]]:
        """[start, end) and the devices in it that no window covers: of one that covers a part of its time the rest."""
        at, devices = self.piece.start_ms, plain(self.piece.devices)
        for start, end, _, part in self.measured:
            if at < start:
                yield at, start, devices
            if part < 1:
                yield start, end, devices * (1 - part)
            at = end
        if at < self.piece.end_ms:
            yield at, self.piece.end_ms, devices


class JobsEnergy:
    """The energy of all that jobs held of some pools. Read it whole: what was measured sets what is imputed."""

    def __init__(
        self, settings: Settings, queries: Queries, parts: Parts, known_ms: int,
        each: Callable[[Measured, int, int], None] | None = None,
    ) -> None:  # fmt: skip
        """Classes of accounts are as they are at ``known_ms``. ``each`` is given what was measured, slice by slice."""
        self._settings, self._queries, self._known_ms = settings, queries, known_ms
        self._pools = {pool.name: pool for pool in settings.pools if any(pool.name == name for name, _ in parts)}
        self._during = {key: terms_of(self._pools[key[0]], period) for key, period in parts.items()}
        self._sums: dict[Owner, _Sums] = {}
        self._seen: dict[str, Observed] = {}
        moments = sorted({moment for period in parts.values() for moment in period[:2]})
        for low, high in pairwise(moments):
            now = {name: start for (name, start), period in parts.items() if start <= low and high <= period.end_ms}
            for start, end in self._slices(low, high) if now else ():
                measured = load(queries, start, end, None)
                self._slice(measured, start, end, now)
                if each:
                    each(measured, start, end)

    def found(self) -> Iterator[Drawn]:
        """What was drawn, in order. A device's rated power has its host's share in it, so that is not added."""
        powers = self._powers()
        for owner, sums in sorted(self._sums.items()):
            unmeasured, watts = powers[owner.sku], self._pools[owner.pool].energy.host_watts_per_gpu
            yield _drawn(owner, ENERGY, "", sums.measured, Fraction(1))
            yield _drawn(owner, IMPUTED_ENERGY, unmeasured.rule, sums.unmeasured, unmeasured.watts)
            if unmeasured.rule != NAMEPLATE:
                yield _drawn(owner, HOST_ENERGY, "", sums.hosted, watts)

    def _slices(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
        devices = len(self._queries.ask("measured_devices")) or 1
        hours = min(max(SLICE_DEVICE_HOURS // devices, LEAST_HOURS), MOST_HOURS)
        return pairwise([*range(start_ms, end_ms, hours * HOUR_MS), end_ms])

    def _slice(self, measured: Measured, start_ms: int, end_ms: int, now: Mapping[str, int]) -> None:
        named = {one.key for those in measured.holdings.values() for one in those}
        found: dict[Key, dict[int, _Lease]] = {}
        for piece in pieces(self._settings, self._queries, start_ms, end_ms, self._known_ms):
            place = place_of(self._settings, piece.row)
            if place and place[0] in now:
                row, decision = piece.row, piece.decision
                owner = Owner(
                    place[0], now[place[0]], row["cluster"], row["account"], row["user"], place[1], decision.text,
                    decision.factor,
                )  # fmt: skip
                lease = _Lease(piece, owner, piece.devices)
                if piece.lease in named:
                    found.setdefault(piece.lease, {})[piece.start_ms] = lease
                else:
                    self._take(lease)
        for gpu, instances in measured.instances.items():
            whole = [one for device in (gpu, *instances) for one in measured.holdings.get(device, [])]
            if any(one.key in found for one in whole):
                held = [part for one in whole for part in _cut(one, found.get(one.key))]
                _measure(measured.windows.get(gpu, []), held, found, start_ms, end_ms)
        for those in found.values():
            for lease in those.values():
                self._take(lease)

    def _take(self, lease: _Lease) -> None:
        piece, owner = lease.piece, lease.owner
        sums = self._sums.get(owner)
        if sums is None:
            during = self._during[owner.pool, owner.start_ms]
            sums = self._sums[owner] = _Sums(EnergySums(during), EnergySums(during), EnergySums(during))
        energy: Fraction | int = 0
        for start, end, drawn, _ in lease.measured:
            sums.measured.add(start, end, drawn)
            energy += drawn
        missing: Fraction | int = 0
        for start, end, devices in lease.unmeasured():
            sums.unmeasured.add(start, end, time := plain(devices * (end - start)))
            missing += time
        length = piece.end_ms - piece.start_ms
        sums.hosted.add(piece.start_ms, piece.end_ms, plain(lease.gpus) * length)
        if not piece.row["suspended"]:  # in which nothing ran
            before = self._seen.get(owner.sku, Observed(0, 0))
            held = plain(piece.devices) * length - missing
            self._seen[owner.sku] = Observed(before.energy_mj + energy, before.device_ms + held)

    def _powers(self) -> dict[str, Power]:
        """What unmeasured devices are taken to draw."""
        return {
            sku.name: power(self._seen, sku.name, Nameplate(sku.nameplate_watts, sku.load_factor))
            for pool in self._pools.values()
            for sku in pool.skus
        }


def terms_of(pool: Pool, period: Period) -> list[Terms]:
    """Tariff, PUE and emission factor of a pool at each moment of a period."""
    return terms(
        pool.costs.tariff, pues(pool.costs), pool.timezone, period.start_ms, period.end_ms, pool.energy.emission
    )


def _drawn(owner: Owner, kind: str, basis: str, sums: EnergySums, times: Fraction) -> Drawn:
    return Drawn(owner, kind, basis, sums.energy_mj * times, sums.lines(plain(times)))


def _measure(
    windows: list[Window],
    holdings: list[Holding],
    found: Mapping[Key, Mapping[int, _Lease]],
    start_ms: int,
    end_ms: int,
) -> None:
    """Give leases their parts of what a GPU drew."""
    for segment in segments(windows, holdings, start_ms, end_ms):
        window, held = segment.window, segment.held
        if not held or not window.energy_observed_ms:
            continue
        start, end, length = segment.start_ms, segment.end_ms, window.end_ms - window.start_ms
        seen, whole = window.energy_observed_ms, end - start == length
        part = 1 if seen >= length else Fraction(seen, length)
        energy = window.energy_mj if whole else plain(Fraction(window.energy_mj * (end - start), length))
        alone = len(held) == 1 and held[0].share == 1
        share = {} if alone else {one.key: portion for one, portion in portions(held)}
        for one in held:
            mine = found.get(one.key, {}).get(one.start_ms)
            if mine:
                drawn = energy if alone else plain(energy * share.get(one.key, NIL))
                mine.measured.append((start, end, drawn, part))


def _cut(holding: Holding, own: Mapping[int, _Lease] | None) -> Iterator[Holding]:
    """A hold of a device as the pieces of its lease, which end where the accounting was last heard."""
    if own is None:
        yield holding
        return
    for one in own.values():
        one.gpus = holding.share
        yield holding._replace(start_ms=one.piece.start_ms, end_ms=one.piece.end_ms)
