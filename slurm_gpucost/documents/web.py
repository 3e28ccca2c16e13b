"""Pages for a browser: one file each, with nothing from outside, so that they can be mailed, printed and kept."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from jinja2 import Environment, PackageLoader, StrictUndefined

from slurm_gpucost import __version__
from slurm_gpucost.documents.table import Row
from slurm_gpucost.documents.terminal import safe


def rates(derivations: Sequence[Row], cluster: str, month: str, made: str) -> str:
    """What ``gpucost rates explain --html`` writes, of the rows that its ``--json`` prints. ``made``: when, as text."""
    page = _environment().get_template("rates.html")
    return page.render(derivations=derivations, cluster=cluster, month=month, made=made, program=__version__) + "\n"


def _environment() -> Environment:
    """Every text that is put in is escaped, and its characters that cannot be seen are named."""
    found = Environment(
        loader=PackageLoader("slurm_gpucost", "documents/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: safe(value) if isinstance(value, str) else value,
    )
    found.filters["grouped"] = lambda value: f"{Decimal(value):,}"
    return found
