"""Reads what a node needs of the config, which may be the site's whole one or a short one of its own.

No pools, prices or currency are needed, and tables of others are not looked at, so that one file can serve all hosts,
of several versions, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.settings.catalogue import SECTIONS, TOP
from slurm_gpucost.settings.kinds import zone
from slurm_gpucost.settings.node import NodeSettings, host_name
from slurm_gpucost.settings.reader import ConfigReader, read_toml

_SECTIONS = ("spool", "slurmd", "nvml", "findings", "node")
_TOP = ("cluster", "timezone")


def load_node(path: Path) -> NodeSettings:
    """The checked part of the config. Raises ConfigError with one line a fault."""
    data = read_toml(path)
    reader = ConfigReader(path)
    plain = {key: value for key, value in data.items() if not isinstance(value, (dict, list))}
    settings = tuple(setting for setting in TOP if setting.key in _TOP)
    top = reader.read(plain, settings, "", tuple(setting.key for setting in TOP))
    parts = {
        name: reader.read(reader.table(data.get(name, {}), name), SECTIONS[name], f"{name}.") for name in _SECTIONS
    }
    node = parts["node"]
    if "collector_url" in node and node["collector_url"] is None:
        reader.fault("node.collector_url", "is missing: where is the collector? Like https://ledger.example.org:6843")
    zones = [top["timezone"]] if "timezone" in top else []
    zones += _pool_zones(reader, data)
    if reader.faults:
        raise ConfigError(*reader.faults)
    return NodeSettings(
        path=path,
        cluster=top["cluster"],
        zones=tuple(dict.fromkeys(zones)),
        spool=parts["spool"]["path"],
        slurmd=parts["slurmd"]["command"],
        slurm_conf=parts["slurmd"]["slurm_conf"],
        nvml_enabled=parts["nvml"]["enabled"],
        nvml_interval_seconds=parts["nvml"]["interval_seconds"],
        idle_threshold_percent=parts["findings"]["idle_threshold_percent"],
        **{**node, "name": node["name"] or host_name()},
    )


def _pool_zones(reader: ConfigReader, data: dict[str, Any]) -> list[ZoneInfo]:
    found = []
    pools = data.get("pools")
    for name, pool in pools.items() if isinstance(pools, dict) else ():
        if isinstance(pool, dict) and "timezone" in pool:
            try:
                found.append(zone(pool["timezone"]))
            except ValueError as error:
                reader.fault(f"pools.{name}.timezone", str(error))
    return found
