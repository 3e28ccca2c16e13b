"""Tariffs at random, and an oracle that reads their texts by itself and asks zoneinfo for each moment."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from slurm_gpucost.costing.bands import Band
from slurm_gpucost.costing.tariff import Tariff, Version

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Asia/Kolkata",  # 05:30, no summer time
    "Africa/Casablanca",  # goes back for Ramadan
    "America/St_Johns",  # -03:30
    "Asia/Kathmandu",  # 05:45
    "America/Havana",  # midnight comes twice
    "Africa/Cairo",  # a day without a midnight
]
MINUTE_MS = 60_000
HOUR_MS = 3_600_000


def utc(text: str) -> int:
    """``2026-10-25T01:00`` UTC in ms."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def local(ms: int, zone: ZoneInfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(zone)


def in_day(hours: str, clock: str) -> bool:
    """``clock`` as HH:MM in ``22:00-06:00``, as texts are ordered."""
    first, last = hours.split("-")
    return first <= clock < last if first < last else clock >= first or clock < last


def in_week(days: str, day: str) -> bool:
    if "-" not in days:
        return days == day
    ring = DAYS + DAYS
    start = ring.index(days[:3])
    return day in ring[start : ring.index(days[4:], start) + 1]


def in_year(season: str, day: str) -> bool:
    first, last = season.split("..")
    return first <= day <= last if first <= last else day >= first or day <= last


def holding(bands: tuple[Band, ...], season_day: str, weekday: str, clock: str) -> list[int]:
    """The numbers of the bands that hold at MM-DD, mon to sun, HH:MM."""
    return [
        number
        for number, band in enumerate(bands)
        if any(in_day(text, clock) for text in band.hours)
        and any(in_week(text, weekday) for text in band.days)
        and any(in_year(text, season_day) for text in band.seasons)
    ]


def price_at(tariff: Tariff, ms: int, zone: ZoneInfo) -> Fraction:
    here = local(ms, zone)
    version = [one for one in tariff.versions if one.since <= here.date()][-1]
    weekday = "sun" if here.date() in tariff.holidays else DAYS[here.weekday()]
    (number,) = holding(version.bands, here.strftime("%m-%d"), weekday, here.strftime("%H:%M"))
    return version.bands[number].price


def changes(name: str) -> list[int]:
    """The moments (whole hours, ms UTC) before which a zone's offset changed within the hour, 2024 to 2037."""
    zone = ZoneInfo(name)

    def differs(at: int, length: int) -> bool:
        return local(at, zone).utcoffset() != local(at + length, zone).utcoffset()

    days = range(utc("2024-01-01T00:00"), utc("2038-01-01T00:00"), 24 * HOUR_MS)
    hours = (range(day, day + 24 * HOUR_MS, HOUR_MS) for day in days if differs(day, 24 * HOUR_MS))
    return [hour + HOUR_MS for day in hours for hour in day if differs(hour, HOUR_MS)]


CHANGES = {name: changes(name) for name in ZONES}
PRICES = st.sampled_from([Fraction(3, 10), Fraction(1, 3), Fraction(-1, 20), Fraction(0), Fraction(2179, 10_000)])
CLOCKS = st.one_of(st.sampled_from([0, 60, 90, 120, 150, 180, 1439]), st.integers(0, 1439))


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@st.composite
def whole_weeks(draw: st.DrawFn) -> tuple[Band, ...]:
    """Bands that make a week without holes and overlaps in each season: every year, week and day is cut on its ring."""
    bands = []
    starts = sorted(draw(st.sets(st.dates(date(2000, 1, 1), date(2000, 12, 31)), max_size=3)))
    ends = [day - timedelta(days=1) for day in starts[1:] + starts[:1]]
    seasons = [f"{a:%m-%d}..{b:%m-%d}" for a, b in zip(starts, ends, strict=True)] or ["01-01..12-31"]
    for season in seasons:
        groups: dict[int, list[str]] = {}
        for day in DAYS:
            groups.setdefault(draw(st.integers(0, 1)), []).append(day)
        for days in groups.values():
            cuts = [clock(minute) for minute in sorted(draw(st.sets(CLOCKS, max_size=4)))]
            hours = [f"{a}-{b}" for a, b in zip(cuts, cuts[1:] + cuts[:1], strict=True)]
            for text in hours if len(cuts) > 1 else ["00:00-24:00"]:
                bands.append(Band(draw(PRICES), (text,), tuple(days), (season,)))
    return tuple(draw(st.permutations(bands)))


@st.composite
def tariffs(draw: st.DrawFn, around: date) -> Tariff:
    """A tariff without faults; near ``around`` it may change, and have holidays."""
    near = st.integers(-2, 2).map(lambda days: around + timedelta(days=days))
    versions = [Version(date(2000, 1, 1), draw(whole_weeks()))]
    if draw(st.booleans()):
        versions.append(Version(draw(near), draw(whole_weeks())))
    return Tariff(tuple(versions), draw(st.frozensets(near, max_size=2)))


def flat(price: Fraction | int, *, since: date = date(2000, 1, 1)) -> Tariff:
    return Tariff((Version(since, (Band(Fraction(price)),)),))


def day_and_night(day: Fraction, night: Fraction) -> Tariff:
    return Tariff((Version(date(2020, 1, 1), (Band(day, ("06:00-22:00",)), Band(night, ("22:00-06:00",)))),))
