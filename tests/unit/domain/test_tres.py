from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.domain.tres import GresCount, gpu_gres, parse_index_list


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("billing=2,cpu=2,gres/gpu:a100=2,gres/gpu=2,mem=4G,node=1", [("gpu", "a100", 2)]),
        ("gres/gpu=2", [("gpu", "", 2)]),
        ("gres/gpu=3,gres/gpu:a100=2", [("gpu", "", 1), ("gpu", "a100", 2)]),
        ("gres/gpu:h100=1,gres/gpu=3,gres/gpu:a100=2", [("gpu", "a100", 2), ("gpu", "h100", 1)]),
        ("cpu=1,gres/shard=3", [("shard", "", 3)]),
        ("gres/gpu=0,gres/gpu:a100=0", []),
        ("cpu=4,mem=1G,gres/nic=2,gres/gpumem=80G,license/gpu=1", []),
        ("", []),
    ],
)
def test_each_gpu_is_counted_once(text: str, counts: list[tuple[str, str, int]]) -> None:
    assert gpu_gres(text) == tuple(GresCount(*count) for count in counts)


@given(st.dictionaries(st.sampled_from(["a100", "h100", "l4"]), st.integers(1, 64)), st.integers(0, 9), st.randoms())
def test_the_total_is_the_untyped_count_in_any_order(typed: dict[str, int], more: int, random: Random) -> None:
    total = sum(typed.values()) + more
    parts = [f"gres/gpu:{kind}={n}" for kind, n in typed.items()] + [f"gres/gpu={total}", "cpu=3", "mem=1G"]
    random.shuffle(parts)
    found = {count.type: count.units for count in gpu_gres(",".join(parts))}
    assert found == {**typed, **({"": more} if more else {})}


@pytest.mark.parametrize("text", ["gres/gpu", "gres/gpu=", "gres/gpu=two", "cpu=1,gres/gpu:a100=-1", "gres/gpu=1.5"])
def test_a_count_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="gres/gpu"):
        gpu_gres(text)


@pytest.mark.parametrize(
    ("text", "indexes"),
    [("0", [0]), ("0,2-4", [0, 2, 3, 4]), ("7-7", [7])]
    + [
        (text, None)
        for text in (
            "",
            "GPU-aa,GPU-bb",
            "NoDevFiles",
            "3-1",
            "0-",
            "-1",
            "0,,1",
            "0-9999999999",
            "9" * 30,
            "65535-65536",
        )
    ],
)
def test_index_lists(text: str, indexes: list[int] | None) -> None:
    assert parse_index_list(text) == indexes
