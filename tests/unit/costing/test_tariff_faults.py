from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.costing.bands import Band
from slurm_gpucost.costing.tariff import Tariff, Version, faults
from tests.unit.costing.tariffs import DAYS, holding, in_year, whole_weeks

ONE = Fraction(1)


def said(*bands: Band) -> list[str]:
    found = faults(Tariff((Version(date(2026, 1, 1), bands),)))
    assert all(key == "versions.0.bands" for key, _ in found)
    return [sentence for _, sentence in found]


def test_a_tariff_without_faults() -> None:
    assert said(Band(ONE)) == []
    assert said(Band(ONE, ("22:00-06:00",)), Band(-ONE, ("06:00-22:00",))) == []
    assert said(Band(ONE, seasons=("10-16..04-15",)), Band(ONE, seasons=("04-16..10-15",))) == []
    assert said(Band(ONE, days=("sat-mon", "wed")), Band(ONE, days=("tue", "thu-fri"))) == []
    assert said(Band(ONE, ("07:00-09:00", "17:00-20:00")), Band(ONE, ("20:00-07:00", "09:00-17:00"))) == []
    assert said(Band(ONE, ("00:00-12:00",)), Band(ONE, ("12:00-00:00",))) == []


@pytest.mark.parametrize(
    ("bands", "sentences"),
    [
        (
            [
                Band(ONE, ("06:00-22:00",), ("mon-fri",)),
                Band(ONE, ("22:00-06:00",)),
                Band(ONE, ("06:00-22:00",), ("sun",)),
                Band(ONE, ("06:00-22:00",), ("sat",), ("04-01..10-31",)),
            ],
            ["no price on saturday 06:00-22:00 in the season from 11-01 to 03-31"],
        ),
        (
            [Band(ONE, ("06:00-22:00",)), Band(ONE, ("22:00-05:30",))],
            ["no price on any day 05:30-06:00"],
        ),
        (
            [Band(ONE), Band(ONE, ("17:00-20:00",), ("mon-fri",), ("12-01..02-29",))],
            [
                "2 prices on monday, tuesday, wednesday, thursday and friday 17:00-20:00 in the season from 12-01 to "
                "02-29: bands.0 and bands.1 overlap"
            ],
        ),
        (
            [Band(ONE), Band(ONE), Band(ONE, ("00:00-00:01",), ("sun",))],
            [
                "2 prices on monday, tuesday, wednesday, thursday, friday and saturday 00:00-24:00: "
                "bands.0 and bands.1 overlap",
                "3 prices on sunday 00:00-00:01: bands.0, bands.1 and bands.2 overlap",
                "2 prices on sunday 00:01-24:00: bands.0 and bands.1 overlap",
            ],
        ),
        (
            # The winter ends on 28 February: in leap years a day has no price.
            [Band(ONE, seasons=("10-01..02-28",)), Band(ONE, seasons=("03-01..09-30",))],
            ["no price on any day 00:00-24:00 in the season from 02-29 to 02-29"],
        ),
        (
            # Two seasons with the same hole are told as one: here it is every season.
            [
                Band(ONE, days=("mon-sat",), seasons=("10-01..03-31",)),
                Band(ONE, days=("mon-sat",), seasons=("04-01..09-30",)),
            ],
            ["no price on sunday 00:00-24:00"],
        ),
        (
            # Two of three seasons, which meet at the year's end.
            [
                Band(ONE, days=("mon-sat",), seasons=("10-01..12-31",)),
                Band(ONE, days=("mon-sat",), seasons=("01-01..03-31",)),
                Band(ONE, seasons=("04-01..09-30",)),
            ],
            ["no price on sunday 00:00-24:00 in the season from 10-01 to 03-31"],
        ),
        (
            # Hours of one band that meet are told as one.
            [Band(ONE), Band(ONE, ("22:00-23:00", "20:00-22:00"))],
            ["2 prices on every day 20:00-23:00: bands.0 and bands.1 overlap"],
        ),
        ([], ["no price on any day 00:00-24:00"]),
    ],
)
def test_holes_and_overlaps_in_words(bands: list[Band], sentences: list[str]) -> None:
    assert said(*bands) == sentences


def test_all_faults_of_all_versions_in_one_go() -> None:
    tariff = Tariff(
        (
            Version(date(2026, 1, 1), (Band(ONE), Band(ONE, ("06:00-07:00",)))),
            Version(date(2026, 1, 1), (Band(ONE, ("6-22",), (), ("02-30..03-01",)),)),
            Version(date(2025, 7, 1), (Band(ONE, days=("mon-sat",)),)),
        )
    )
    assert faults(tariff) == [
        ("versions.1.from", "2026-01-01 is not after 2026-01-01, from which the version before it holds"),
        ("versions.2.from", "2025-07-01 is not after 2026-01-01, from which the version before it holds"),
        ("versions.0.bands", "2 prices on every day 06:00-07:00: bands.0 and bands.1 overlap"),
        ("versions.1.bands.0.hours", "'6-22' is no time of the day; write HH:MM-HH:MM, like 22:00-06:00"),
        ("versions.1.bands.0.days", "names none; leave it out if the price holds always"),
        ("versions.1.bands.0.seasons", "'02-30..03-01' is no season; write MM-DD..MM-DD, like 11-01..03-31"),
        ("versions.2.bands", "no price on sunday 00:00-24:00"),
    ]
    assert faults(Tariff(())) == [("versions", "there is none; a tariff needs at least one price")]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *(
            ("hours", text)
            for text in ("", "6:00-22:00", "06:00", "24:00-06:00", "06:00-24:01", "06:60-07:00", "06:00-22:00:00")
        ),
        *(("hours", text) for text in ("06:00–22:00", "06:00-06:00", "24:00-24:00", "٠٦:٠٠-٢٢:٠٠")),
        *(("days", text) for text in ("", "monday", "Mon", "mon-", "-fri", "mon-fri-sun", "mon,tue", "1")),
        *(("seasons", text) for text in ("", "11-01", "11-01..", "11-01...03-31", "1-1..3-31", "00-01..03-31")),
        *(("seasons", text) for text in ("11-31..03-31", "11-01-03-31", "2026-11-01..2027-03-31")),
    ],
)
def test_a_text_that_cannot_be_read_is_named_with_what_to_write(key: str, text: str) -> None:
    band = Band(ONE, **{key: (text,)})
    ((where, sentence),) = faults(Tariff((Version(date(2026, 1, 1), (band,)),)))
    assert where == f"versions.0.bands.0.{key}"
    assert f"'{text}' " in sentence
    assert "write" in sentence


@given(whole_weeks())
def test_bands_cut_from_a_whole_week_have_no_faults(bands: tuple[Band, ...]) -> None:
    assert said(*bands) == []


SEASONS = ["01-01..12-31", "04-01..10-31", "11-01..03-31", "10-15..04-10", "02-29..02-29"]
HOURS = ["00:00-24:00", "06:00-22:00", "22:00-06:00", "05:30-06:00", "23:00-00:00"]
WEEK = ["mon-sun", "mon-fri", "sat-sun", "sat", "fri-mon"]
BANDS = st.builds(
    Band,
    st.just(ONE),
    *(st.lists(st.sampled_from(pool), min_size=1, max_size=2).map(tuple) for pool in (HOURS, WEEK, SEASONS)),
)
DAYS_OF_YEAR = "01-01 02-28 02-29 03-01 03-31 04-01 04-10 04-11 10-14 10-15 10-31 11-01 12-31".split()
SENTENCE = re.compile(
    r"(no price|\d prices) on (.*) (\d\d:\d\d)-(\d\d:\d\d)(?: in the season from (\S+) to ([^:]+))?(?:: (.*) overlap)?"
)


def claim(sentence: str) -> Callable[[str, str, str], list[int] | None]:
    """What a sentence says of a moment (MM-DD, day, HH:MM): the bands that it names, None if it is not about it."""
    found = SENTENCE.fullmatch(sentence)
    assert found, sentence
    what, days, first, last, season, until, names = found.groups()
    numbers = [int(number) for number in re.findall(r"bands\.(\d+)", names or "")]
    assert len(numbers) == (0 if what == "no price" else int(what[0]))
    about = DAYS if days in ("every day", "any day") else [day[:3] for day in re.split(" and |, ", days)]

    def said_of(season_day: str, weekday: str, clock: str) -> list[int] | None:
        here = weekday in about and first <= clock < last and (not season or in_year(f"{season}..{until}", season_day))
        return numbers if here else None

    return said_of


@settings(deadline=None, max_examples=60)
@given(st.lists(BANDS, max_size=4))
def test_each_moment_without_one_price_is_in_one_sentence_and_no_other_moment_is(bands: list[Band]) -> None:
    sentences = said(*bands)
    claims = [claim(sentence) for sentence in sentences]
    clocks = ["00:00", "05:00", "05:30", "06:00", "21:30", "22:00", "23:30"]
    for moment in product(DAYS_OF_YEAR, DAYS, clocks):
        expected = holding(tuple(bands), *moment)
        told = [numbers for one in claims if (numbers := one(*moment)) is not None]
        assert told == ([] if len(expected) == 1 else [expected]), moment
    assert len(set(sentences)) == len(sentences)
