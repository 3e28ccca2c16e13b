# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""[[clusters]]: of a collector that serves several clusters, how each is asked."""

from __future__ import annotations

from typing import Any

from slurm_gpucost.settings.cost_tables import Reader, list_of_tables
from slurm_gpucost.settings.kinds import INHERIT, REQUIRED, Setting, absolute_path, text
from slurm_gpucost.settings.model import Cluster

CLUSTERS = (
    Setting("name", "text", text, REQUIRED, "The cluster's name. Where there are [[clusters]], only they are asked, by `gpucostd collector` alone; the top's `cluster` must be one of them."),
    Setting("sacct", "text", text, INHERIT, "The sacct to run; that of [accounting] if not given."),
    Setting("sacctmgr", "text", text, INHERIT, "The sacctmgr to run; that of [accounting] if not given."),
    Setting("scontrol", "text", text, INHERIT, "The scontrol to run; that of [controller] if not given."),
    Setting("squeue", "text", text, INHERIT, "The squeue to run; that of [controller] if not given."),
    Setting("slurm_conf", "path", absolute_path, None, "The slurm.conf by which these commands find the cluster (SLURM_CONF); their own default if not given."),
)  # fmt: skip
COMMANDS = ("sacct", "sacctmgr", "scontrol", "squeue")


def clusters_of(reader: Reader, data: dict[str, Any], own: str | None) -> tuple[Cluster, ...]:
    """In their order. ``own``: the top's cluster. What is wrong becomes faults of the reader."""
    found: dict[str, Cluster] = {}
    for n, one in enumerate(list_of_tables(reader, "clusters", data.get("clusters", []))):
        values = reader.read(one, CLUSTERS, f"clusters.{n}.")
        name = values.get("name", "")
        if name in found:
            reader.fault(f"clusters.{n}.name", f"'{name}' stands twice")
        complete: dict[str, Any] = {setting.key: values.get(setting.key) for setting in CLUSTERS}
        found[name] = Cluster(**{**complete, "name": name})
    if found and own is not None and own not in found:
        reader.fault("cluster", f"'{own}' is none of [[clusters]]; add it there")
    return tuple(found.values())
