from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.documents.terminal import fit, safe, width


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x7f\x00", "\\x7f\\x00"),
        ("pay\u202egnp", "pay\\u202egnp"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_text(hostile: str, shown: str) -> None:
    assert safe(hostile) == shown


@pytest.mark.parametrize("name", ["train model", "größe", "学習", "обучение", "back\\slash", "a=b|c"])
def test_names_that_people_read_stay(name: str) -> None:
    assert safe(name) == name


@settings(deadline=None)
@given(st.text())
def test_the_result_is_always_printable(text: str) -> None:
    assert safe(text).isprintable()
    assert safe(safe(text)) == safe(text)


def test_wide_and_combining_letters() -> None:
    assert width("学習") == 4
    assert width("e\u0301") == 1
    assert fit("学習モデル", 6) == "学習+ "
    assert fit("学習", 6, right=True) == "  学習"


def test_cut_text_ends_in_a_plus() -> None:
    assert fit("CANCELLED", 5) == "CANC+"
    assert fit("CANCELLED", 9) == "CANCELLED"
    assert fit("7", 3, right=True) == "  7"


@settings(deadline=None)
@given(st.text().map(safe), st.integers(1, 60), st.booleans())
def test_fit_takes_exactly_the_columns(text: str, columns: int, right: bool) -> None:
    assert width(fit(text, columns, right=right)) == columns
