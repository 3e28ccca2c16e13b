"""The holes and overlaps of the week that bands make together, in each season, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from slurm_gpucost.costing.bands import DAYS, YEAR_DAYS, Cell, Times, day_cells, month_day

Fault = tuple[tuple[int, ...], Cell]
"""The days of the week on which the same is wrong, and what."""


def week_faults(bands: Sequence[Times]) -> list[str]:
    """One sentence for each minute of a week that has no price or several, those that lie together taken as one.

    By season, then by day; the same fault in seasons that follow each other, or on several days, is said once.
    """
    seasons = _seasons(bands)
    by_fault: dict[Fault, set[int]] = {}
    for number, (first, _) in enumerate(seasons):
        days_by_cell: dict[Cell, list[int]] = {}
        for weekday in range(7):
            for cell in day_cells(bands, first, weekday):
                if len(cell.bands) != 1:
                    days_by_cell.setdefault(cell, []).append(weekday)
        for cell, weekdays in days_by_cell.items():
            by_fault.setdefault((tuple(weekdays), cell), set()).add(number)
    found = []
    for (days, cell), where in by_fault.items():
        for first, last in _joined(where, len(seasons)):
            season = (seasons[first][0], seasons[last][1])
            whole_year = len(where) == len(seasons)
            key = (-1 if whole_year else season[0], days, cell)
            found.append((key, _sentence(days, cell, None if whole_year else season)))
    return [sentence for _, sentence in sorted(found)]


def _seasons(bands: Sequence[Times]) -> list[tuple[int, int]]:
    """The year, cut wherever a band's season begins or ends: (first, last) day each; one may go over the year's end."""

    def holding(day: int) -> list[bool]:
        return [day % YEAR_DAYS in band.year_days for band in bands]

    starts = [day for day in range(YEAR_DAYS) if holding(day) != holding(day - 1)] or [0]
    return [(start, (end - 1) % YEAR_DAYS) for start, end in zip(starts, starts[1:] + starts[:1], strict=True)]


def _joined(numbers: set[int], of: int) -> list[tuple[int, int]]:
    """Numbers on a ring of so many as (first, last) of those that follow each other."""
    if len(numbers) == of:
        return [(0, of - 1)]
    found = []
    for first in sorted(number for number in numbers if (number - 1) % of not in numbers):
        last = first
        while (last + 1) % of in numbers:
            last = (last + 1) % of
        found.append((first, last))
    return found


def _sentence(days: tuple[int, ...], cell: Cell, season: tuple[int, int] | None) -> str:
    what = "no price" if not cell.bands else f"{len(cell.bands)} prices"
    names = [DAYS[day] for day in days]
    day = _and(names) if len(names) < 7 else "every day" if cell.bands else "any day"
    when = f" in the season from {month_day(season[0])} to {month_day(season[1])}" if season else ""
    told = f": {_and([f'bands.{n}' for n in cell.bands])} overlap" if cell.bands else ""
    return f"{what} on {day} {_clock(cell.start)}-{_clock(cell.end)}{when}{told}"


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
