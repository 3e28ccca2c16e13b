"""What nodes have, from ``scontrol show node``: one call for all of them, and nothing of their state.

States come from the accounting (:mod:`slurm_gpucost.sources.node_events`), where they have moments.
"""

from __future__ import annotations

import re

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import NodeCpus, NodeReport
from slurm_gpucost.domain.inventory import node_gres
from slurm_gpucost.domain.tres import GPU_GRES
from slurm_gpucost.sources import command

_NODE = re.compile(r"^NodeName=(?P<node>\S+) .*? Gres=(?P<gres>\S+) ", re.MULTILINE)
_CPUS = re.compile(r"^NodeName=(?P<node>\S+) .*?CPUTot=(?P<cpus>\d{1,9}) ", re.MULTILINE | re.ASCII)
_PART = re.compile(r"(?:[^,(]|\([^)]*\))+")
_SOCKETS = re.compile(r"\([^)]*\)")


def ask(scontrol: str, timeout_seconds: float) -> str:
    """What ``scontrol show node`` prints, a line a node, of this host's controller. Raises SourceError."""
    return command.run([scontrol, "--all", "--oneliner", "show", "node"], timeout_seconds, {"LC_ALL": "C"})


def parse(text: str, cluster: str, observed_at_ms: int) -> list[NodeReport]:
    """The GPUs of each node that has some. Raises SourceError for a reply without any node: it says nothing."""
    found = {match["node"]: match["gres"] for match in _NODE.finditer(text)}
    if not found:
        raise SourceError(f"`scontrol show node` names no node: {text.strip()[:200] or 'it said nothing'}")
    reports = [NodeReport(cluster, node, observed_at_ms, gpus_of(gres)) for node, gres in sorted(found.items())]
    return [report for report in reports if report.gres]


def parse_cpus(text: str, cluster: str, observed_at_ms: int) -> list[NodeCpus]:
    """The CPUs of each node, those that Slurm keeps for itself too: a reservation of the whole node has as many."""
    found = {match["node"]: int(match["cpus"]) for match in _CPUS.finditer(text)}
    return [NodeCpus(cluster, node, observed_at_ms, cpus) for node, cpus in sorted(found.items())]


def gpus_of(gres: str) -> str:
    """The GPU part of a node's Gres, without the sockets: ``gpu:a100:4(S:0-1),tmp:9`` -> ``gpu:a100:4``; else ''."""
    parts = [_SOCKETS.sub("", part) for part in _PART.findall(gres) if part.partition(":")[0] in GPU_GRES]
    try:
        return ",".join(parts) if any(want.units for want in node_gres(",".join(parts))) else ""
    except ValueError:
        return ""
