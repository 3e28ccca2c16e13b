"""What a node reads of the config: little, from a short file or the site's whole one."""

from __future__ import annotations

import socket
from datetime import date
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.services.capture import hour_offsets_ms
from slurm_gpucost.settings import load, template
from slurm_gpucost.settings.node import NodeSettings
from slurm_gpucost.settings.node_file import load_node

ROOT = Path(__file__).parents[2]
SHORT = 'cluster = "c"\ntimezone = "Europe/Berlin"\n[node]\ncollector_url = "https://ledger.example.org:6843/"\n'


def read(tmp_path: Path, text: str) -> NodeSettings:
    (tmp_path / "c.toml").write_text(text)
    return load_node(tmp_path / "c.toml")


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return [fault.removeprefix(f"{tmp_path}/c.toml: ") for fault in caught.value.faults]


def test_a_short_file_is_enough(tmp_path: Path) -> None:
    node = read(tmp_path, SHORT)
    assert (node.cluster, node.collector_url) == ("c", "https://ledger.example.org:6843")
    assert node.name == socket.gethostname().split(".")[0]
    assert (node.journal, node.spool) == (Path("/var/lib/gpucost/journal.db"), Path("/run/gpucost/spool"))
    assert (node.journal_max_mib, node.keep_days, node.pause_minutes) == (256, 14, 60)
    assert (node.nvml_enabled, node.nvml_interval_seconds, node.idle_threshold_percent) == (True, 5, 5)
    assert node.zones == (ZoneInfo("Europe/Berlin"),)


def test_the_packages_example_is_a_nodes_config_and_the_one_that_the_page_shows() -> None:
    example = ROOT / "packaging/examples/node.toml"
    node = load_node(example)
    assert (node.cluster, node.collector_url) == ("alpha", "https://ledger.example.org:6843")
    assert node.token_file == Path("/etc/gpucost/node.token")
    shown = example.read_text(encoding="utf-8").partition("\n")[2]  # below the comment
    assert f"```toml\n{shown}```\n" in (ROOT / "docs/install.md").read_text(encoding="utf-8")


def test_one_file_serves_all_hosts(tmp_path: Path) -> None:
    text = template(
        timezone="Europe/Berlin", currency="EUR", cluster="c", gpus=[("a100", 8, Decimal(1))],
        purchase_date=date(2026, 1, 1),
    )  # fmt: skip
    text = text.replace('# collector_url = "..."', 'collector_url = "http://10.0.0.1:6843"')
    text = text.replace("pause_minutes = 60", "pause_minutes = 5")
    text = text.replace("[pools.main]\n", '[pools.main]\ntimezone = "Asia/Kolkata"\n', 1)
    node = read(tmp_path, text)
    assert node.zones == (ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"))
    assert hour_offsets_ms(node.zones) == (0, 1_800_000), "windows are cut at the hours of both"
    assert node.pause_minutes == load(tmp_path / "c.toml").pause_minutes == 5


def test_what_a_newer_version_has_in_its_file_is_no_fault(tmp_path: Path) -> None:
    node = read(tmp_path, SHORT.replace("[node]\n", '[[clusters]]\nname = "d"\n[novel]\nx = 1\n[node]\n'))
    assert node.cluster == "c"


def test_all_faults_at_once(tmp_path: Path) -> None:
    text = """\
clustr = "c"
timezone = "Europe/Berln"
[spool]
path = "relative"
[nvml]
interval_seconds = 0
[node]
name = ""
token_fle = "/x"
journal_max_mib = 1
[pools.a]
timezone = "Mars"
"""
    found = faults(tmp_path, text)
    keys = [fault.split(": ")[0] for fault in found]
    assert sorted(keys) == sorted(
        ["clustr", "cluster", "timezone", "spool.path", "nvml.interval_seconds", "node.name", "node.token_fle",
         "node.journal_max_mib", "node.collector_url", "pools.a.timezone"]
    )  # fmt: skip
    assert "node.token_fle: is no setting; did you mean token_file?" in found


@pytest.mark.parametrize(
    "url",
    [
        "ledger:6843",
        "ftp://ledger",
        "https://",
        "https://user:pw@ledger",
        "https://l:99999",
        "https://l/?a=b",
        "https://a b",
    ],
)
def test_addresses_that_are_none(tmp_path: Path, url: str) -> None:
    (fault,) = faults(tmp_path, SHORT.replace("https://ledger.example.org:6843/", url))
    assert fault.startswith(f"node.collector_url: '{url}' is no address of a collector")
