"""The nodes of pools in the config: what is wrong with them is named by key, all in one go."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.settings import Settings, load

TOP = 'cluster = "c"\ncurrency = "EUR"\ntimezone = "Europe/Berlin"\n'


def pool(name: str, nodes: str, kind: str = "a100", more: str = "") -> str:
    return (
        f"[pools.{name}]\n{f'nodes = {nodes}' if nodes else ''}\n[pools.{name}.skus.{name}_sku]\n"
        f'gres_types = ["{kind}"]\ndevices = 8\npurchase_price = 1\npurchase_date = 2026-01-01\n{more}\n'
    )


def read(tmp_path: Path, *pools: str) -> Settings:
    path = tmp_path / "gpucost.toml"
    path.write_text(TOP + "".join(pools))
    return load(path)


def faults(tmp_path: Path, *pools: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, *pools)
    return [line.partition(": ")[2] for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('"n[1-4]"', '"n[5-8]"'),
        ('"n[1-4]"', ""),
        ("", '"n1"'),
        ('[{ since = 2026-01-01, nodes = "n[1-4]" }, { since = 2026-07-01, nodes = "n[1-2]" }]',
         '[{ since = 2026-07-01, nodes = "n[3-4]" }]'),
        ('[{ since = 2026-01-01, nodes = "n1" }, { since = 2026-07-01, nodes = "" }]',
         '[{ since = 2026-07-01, nodes = "n1" }]'),
    ],
)  # fmt: skip
def test_pools_of_one_kind_may_stand_side_by_side(tmp_path: Path, first: str, second: str) -> None:
    assert len(read(tmp_path, pool("one", first), pool("two", second)).pools) == 2


@pytest.mark.parametrize(
    ("first", "second", "node"),
    [
        ('"n[1-4]"', '"n[4-8]"', "n4"),
        ('"n[1-4]"', '[{ since = 2026-01-01, nodes = "n9" }, { since = 2026-07-01, nodes = "n3" }]', "n3"),
        ('[{ since = 2026-01-01, nodes = "n1" }]', '[{ since = 2025-01-01, nodes = "n[1-2]" }]', "n1"),
    ],
)
def test_a_device_in_two_pools_at_once_is_refused(tmp_path: Path, first: str, second: str, node: str) -> None:
    (told,) = faults(tmp_path, pool("one", first), pool("two", second))
    assert told == (
        "pools.two.skus.two_sku.gres_types: 'a100' is already taken by pools.one.skus.one_sku; both pools "
        f"have {node}, and a device would be in two pools at once"
    )


def test_the_same_nodes_may_have_gpus_of_two_kinds_in_two_pools(tmp_path: Path) -> None:
    site = read(tmp_path, pool("one", '"n1"'), pool("two", '"n1"', "h100"))
    naming = site.pools_naming("c", "n1", 0)
    assert [found[1].name for kind in ("a100", "h100") if (found := site.sku_for(kind, None, naming))] == [
        "one_sku",
        "two_sku",
    ]
    assert site.sku_for("a100", None, site.pools_naming("c", "n2", 0)) is None, "nobody has n2"


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    told = faults(
        tmp_path,
        pool("one", '[{ since = 2026-07-01, nodes = "n1" }, { since = 2026-07-01, nodes = "n2" }]'),
        pool("two", '"n[1"', "h100"),
        pool("three", '""', "l40s"),
        pool("four", "[]", "v100"),
        pool("five", '[{ since = 2026-07-01 }]', "p100"),
        pool("six", '"n[1-2]"', "k80", 'nodes = "n[2-3]"\ngpus_per_node = 1'),
    )  # fmt: skip
    assert [line.partition(":")[0] for line in told] == [
        "pools.one.nodes.1.since",
        "pools.two.nodes",
        "pools.three.nodes",
        "pools.four.nodes",
        "pools.five.nodes.0.nodes",
        "pools.six.skus.six_sku.nodes",
    ]
    assert told[-1] == "pools.six.skus.six_sku.nodes: n3: not in pools.six.nodes"
