"""Two patterns meet exactly where some name matches both: against every short name there is."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.domain.globs import intersect

NAMES = ["".join(name) for length in range(7) for name in product("abc", repeat=length)]


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("NVIDIA A100*", "NVIDIA A100-SXM4-80GB", True),
        ("NVIDIA A100*", "*80GB*", True),
        ("NVIDIA A100*40GB", "NVIDIA A100*80GB", False),
        ("*A100*40GB*", "*A100*80GB*", True),
        ("NVIDIA H100*", "NVIDIA H200*", False),
        ("NVIDIA H[12]00", "NVIDIA H200", True),
        ("NVIDIA H[!2]00", "NVIDIA H200", False),
        ("NVIDIA A100*", "nvidia a100", False),
        ("[a-f]", "[d-z]", True),
        ("[a-c]", "[d-z]", False),
        ("[!a]", "[!b]", True),
        ("[]]", "]", True),
        ("[!]a]", "a", False),
        ("[", "[", True),
        ("x[", "x?", True),
        ("[z-a]", "*", False),
        ("", "*", True),
        ("", "?", False),
    ],
)
def test_two_patterns(one: str, other: str, meet: bool) -> None:
    assert intersect(one, other) is intersect(other, one) is meet


PARTS = st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]", "[b-c]"])
PATTERNS = st.lists(PARTS, max_size=4).map("".join)


@given(PATTERNS, PATTERNS)
@settings(max_examples=300, deadline=None)
def test_as_every_short_name_says(one: str, other: str) -> None:
    """Patterns of at most four parts that have a name in common have one of at most six letters, of a, b and c."""
    assert intersect(one, other) == any(fnmatchcase(name, one) and fnmatchcase(name, other) for name in NAMES)


def test_many_stars_take_no_time() -> None:
    assert not intersect("*a" * 200 + "x", "*b" * 200 + "y")
