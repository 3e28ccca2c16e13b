"""What a SKU says of blocking, and every fault of it by file and key, in one go."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.settings import Settings, load
from slurm_gpucost.settings.inputs import blocked_inputs
from slurm_gpucost.settings.model import Blocking

TOP = 'cluster = "c"\ntimezone = "UTC"\ncurrency = "EUR"\n'


def site(tmp_path: Path, **skus: str) -> Settings:
    """A pool for each SKU, of 8 devices."""
    text = TOP + "".join(
        f"[pools.p_{name}.skus.{name}]\ndevices = 8\npurchase_price = 1\npurchase_date = 2026-01-01\n{keys}\n"
        for name, keys in skus.items()
    )
    (tmp_path / "gpucost.toml").write_text(text)
    return load(tmp_path / "gpucost.toml")


def faults(tmp_path: Path, **skus: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        site(tmp_path, **skus)
    prefix = f"{tmp_path / 'gpucost.toml'}: "
    lines = str(raised.value).splitlines()
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


def test_nothing_said_blocks_nothing(tmp_path: Path) -> None:
    made = site(tmp_path, a="")
    assert made.pools[0].skus[0].blocking == Blocking()
    assert blocked_inputs(made.pools) == {}


def test_what_can_be_said(tmp_path: Path) -> None:
    keys = (
        'blocked_cpus_per_gpu = "4.5"\nblocked_gib_per_gpu = 62.5\nblocked_whole_gpus = true\nnodes = "n[1-2,2]"\n'
        "gpus_per_node = 4\n"
    )
    made = site(tmp_path, a=keys, b="blocked_cpus_per_gpu = 8\n")
    first, second = (pool.skus[0].blocking for pool in made.pools)
    assert first == Blocking(Fraction(9, 2), Fraction(125, 2), True, ("n1", "n2"), 4)
    assert second == Blocking(Fraction(8)), "the inventory tells of its nodes"
    assert blocked_inputs(made.pools) == {
        "pools.p_a.skus.a.blocked_cpus_per_gpu": "4.5",
        "pools.p_a.skus.a.blocked_gib_per_gpu": "62.5",
        "pools.p_a.skus.a.blocked_whole_gpus": "true",
        "pools.p_a.skus.a.nodes": '["n1", "n2"]',
        "pools.p_a.skus.a.gpus_per_node": "4",
        "pools.p_b.skus.b.blocked_cpus_per_gpu": "8",
    }, "what money rests on is noted when it changes"


def test_all_that_is_wrong_is_named_in_one_go(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        a='nodes = "n[1-2]"\ngpus_per_node = 4\n',
        b='nodes = "m1,n[2-3]"\ngpus_per_node = 2\n',
        c='nodes = "k[1-"\ngpus_per_node = 2\n',
        d='nodes = "h1"\n',
        e="gpus_per_node = 8\n",
        f='nodes = "f[1-3]"\ngpus_per_node = 4\n',
        g='blocked_cpus_per_gpu = -1\nblocked_gib_per_gpu = "much"\nblocked_whole_gpus = 1\n',
        h='nodes = ","\ngpus_per_node = 2\n',
    )
    key = "pools.p_{0}.skus.{0}."
    assert sorted(found) == sorted(
        [
            f"{key.format('b')}nodes: n2: already in pools.p_a.skus.a.nodes",
            f"{key.format('c')}nodes: 'k[1-' is no hostlist: brackets do not match",
            f"{key.format('d')}gpus_per_node: is missing: say how many of these GPUs each of `nodes` has",
            f"{key.format('e')}nodes: is missing: gpus_per_node is that of `nodes`",
            f"{key.format('f')}nodes: 3 nodes of 4 GPUs are more than its 8 devices",
            f"{key.format('g')}blocked_cpus_per_gpu: must be at least 0",
            f"{key.format('g')}blocked_gib_per_gpu: 'much' is no number; write it like 1234.50",
            f"{key.format('g')}blocked_whole_gpus: must be true or false",
            f"{key.format('h')}nodes: is missing: gpus_per_node is that of `nodes`",
        ]
    )
