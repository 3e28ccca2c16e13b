from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.domain.hostlist import expand


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ["n1"]),
        ("n[1-2,05],head", ["n1", "n2", "n05", "head"]),
        ("gpu[008-011]", ["gpu008", "gpu009", "gpu010", "gpu011"]),
        ("r[1-2]n[3,5]", ["r1n3", "r1n5", "r2n3", "r2n5"]),
        ("a[1-2]-ib,b-3.x", ["a1-ib", "a2-ib", "b-3.x"]),
        ("", []),
    ],
)
def test_names_in_the_order_written(text: str, names: list[str]) -> None:
    assert expand(text) == names


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 20)), min_size=1, max_size=5), st.integers(1, 6))
def test_ranges_hold_each_number_once_with_its_width(ranges: list[tuple[int, int]], width: int) -> None:
    inside = ",".join(f"{low:0{width}d}-{low + more:0{width}d}" for low, more in ranges)
    wanted = ["n" + str(n).rjust(width, "0") for low, more in ranges for n in range(low, low + more + 1)]
    assert expand(f"n[{inside}]") == wanted


@pytest.mark.parametrize("text", ["n[1-2", "n1]", "n[a-b]", "n[1-]", "n[0-99999999]", "a[1-999]b[1-999]"])
def test_what_is_no_hostlist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"hostlist|ranges|hosts"):
        expand(text)
