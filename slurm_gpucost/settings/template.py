"""What ``gpucost init`` writes: every setting, commented, working as it is."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.domain.units import decimal_text
from slurm_gpucost.settings.accounts import ACCOUNT, CLASS
from slurm_gpucost.settings.billing import BILLING, OUTAGE, RESERVATION, RULE
from slurm_gpucost.settings.blocked import BLOCKED
from slurm_gpucost.settings.catalogue import (
    ASSET,
    BAND,
    COST,
    DEVICES,
    INTEREST,
    POOL,
    PUE,
    SECTIONS,
    SKU,
    TARIFF,
    TOP,
    YEARLY_COSTS_TEXT,
)
from slurm_gpucost.settings.clusters import CLUSTERS
from slurm_gpucost.settings.energy import EMISSION, POOL_ENERGY, SKU_ENERGY
from slurm_gpucost.settings.free import FREE
from slurm_gpucost.settings.kinds import Setting
from slurm_gpucost.settings.meter import METER
from slurm_gpucost.settings.nodes import NODES, POOL_NODES
from slurm_gpucost.settings.portal import PORTAL
from slurm_gpucost.settings.shares import SHARE
from slurm_gpucost.settings.tres import TRES

_GPU = re.compile(r"(?P<sku>[A-Za-z0-9][A-Za-z0-9_.-]*)=(?P<count>\d+)x(?P<price>\d+(?:\.\d+)?)$")
_ASSUMED_YEARLY = {"staff": 0, "space": 0, "licences": 0, "network": 0}


def parse_gpu_option(text: str) -> tuple[str, int, Decimal]:
    """``a100=500x12000``: 500 devices of GRES type a100 at 12,000 each. Raises UsageError."""
    found = _GPU.match(text)
    if not found or not int(found["count"]):
        raise UsageError(f"--gpu '{text}': write TYPE=COUNTxPRICE, like a100=500x12000 (500 devices at 12,000 each)")
    return found["sku"], int(found["count"]), Decimal(found["price"])


def template(
    *,
    timezone: str,
    currency: str,
    cluster: str,
    gpus: Sequence[tuple[str, int, Decimal]],
    shards: int = 0,
    ledger: Path | None = None,
    spool: Path | None = None,
    purchase_date: date,
) -> str:
    """The text of a config with these values and every other setting at its stated default. Raises UsageError."""
    names = [sku for sku, _, _ in gpus]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"--gpu {', '.join(twice)}: given more than once; a SKU has one number and one price")
    given: dict[str, dict[str, Any]] = {
        "": {"cluster": cluster, "timezone": timezone, "currency": currency},
        "ledger": {"path": ledger} if ledger else {},
        "spool": {"path": spool} if spool else {},
    }
    lines = [
        "# slurm-gpucost: what this cluster's GPUs cost, and where their use is found.",
        "# Every setting is here; those that are assumptions say so. `gpucost config check` checks it,",
        "# `gpucost rates explain` shows what follows from it.",
        "",
    ]
    lines += _table(TOP, given[""])
    for name, settings in SECTIONS.items():
        lines += ["", f"[{name}]", *_table(settings, given.get(name, {}))]
    lines += ["", "[billing]", *_table(BILLING, {})]
    lines += ["", "[pools.main]", *_table((*POOL, *POOL_NODES, *POOL_ENERGY), {})]
    lines += [
        "",
        "[pools.main.yearly_costs]",
        *_comment(YEARLY_COSTS_TEXT + " Nothing is assumed: put yours."),
    ]
    lines += [f"{name} = {amount}" for name, amount in _ASSUMED_YEARLY.items()]
    for sku, count, price in gpus:
        values = {
            "gres_types": (sku,),
            "devices": count,
            "purchase_price": price,
            "purchase_date": purchase_date,
            "shards": shards,
        }
        lines += ["", f"[pools.main.skus.{_key(sku)}]", *_table((*SKU, *SKU_ENERGY, *BLOCKED), values)]
    return "\n".join(lines) + "\n"


def _table(settings: Sequence[Setting], given: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for setting in settings:
        lines += _comment(setting.text)
        if setting.key in given:
            lines.append(f"{setting.key} = {toml(given[setting.key])}")
        elif isinstance(setting.default, (str, bool, int, Fraction, Path, tuple)):
            lines.append(f"{setting.key} = {toml(setting.default)}")
        else:
            lines.append(f'# {setting.key} = "..."')
    return lines


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 108)]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml(name)


def toml(value: Any) -> str:
    """A value as TOML text."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case Fraction():
            digits = next(n for n in range(100) if 10**n % value.denominator == 0)  # read from decimal text, so it ends
            return decimal_text(value, digits)
        case Decimal() | date():
            return str(value)
        case tuple() | list():
            return "[" + ", ".join(toml(v) for v in value) + "]"
        case _:
            escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
            return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'


def reference() -> str:
    """docs/configuration.md: every setting with its type, default and text."""
    lines = [
        "# Configuration",
        "",
        "One TOML file: `--config FILE`, else `GPUCOST_CONFIG`, else /etc/gpucost/gpucost.toml. `gpucost init` writes",
        "one with every setting in it; `gpucost config check` names all faults in one go.",
        "",
    ]
    tables = [("Top of the file", TOP), *((f"[{name}]", settings) for name, settings in SECTIONS.items())]
    tables += [("[billing]", BILLING), ("[[rules]]", RULE), ("[[outages]]", OUTAGE)]
    tables += [("[[reservations]]", RESERVATION), ("[[free]]", FREE)]
    tables += [
        ("[classes.NAME]", CLASS),
        ("[[accounts]]", ACCOUNT),
        ("[accounts_import]", PORTAL),
        ("[[clusters]]", CLUSTERS),
    ]
    tables += [
        ("[pools.NAME]", (*POOL, *POOL_NODES, *POOL_ENERGY)),
        ("[pools.NAME.skus.SKU]", (*SKU, *SKU_ENERGY, *BLOCKED)),
    ]
    tables += [("[[pools.NAME.assets]]", ASSET), ("[[pools.NAME.interest]]", INTEREST), ("[[pools.NAME.costs]]", COST)]
    tables += [("[[pools.NAME.tariff]]", TARIFF), ("[[pools.NAME.tariff.bands]]", BAND)]
    tables += [("[[pools.NAME.meter]]", METER), ("[[pools.NAME.pue]]", PUE), ("[[pools.NAME.nodes]]", NODES)]
    tables += [("[[pools.NAME.emission_grams_per_kwh]]", EMISSION), ("[pools.NAME.tres]", TRES)]
    tables += [("[[pools.NAME.shares]]", SHARE), ("[[pools.NAME.skus.SKU.devices]]", DEVICES)]
    for title, settings in tables:
        lines += [f"## {title}", "", "| key | type | default | meaning |", "|---|---|---|---|"]
        for s in settings:
            plain = isinstance(s.default, (str, bool, int, Fraction, Path, tuple))
            default = (
                f"`{toml(s.default)}`"
                if plain
                else "as said"
                if s.default is not None and "if not given" in s.text
                else "none"
                if s.default is None
                else "needed"
            )
            lines.append(f"| `{s.key}` | {s.kind} | {default} | {s.text} |")
        lines.append("")
    lines += [
        "## [pools.NAME.yearly_costs]",
        "",
        YEARLY_COSTS_TEXT,
        "",
        "Amounts may be TOML numbers or decimal text; they are read exactly, never as binary floats.",
    ]
    return "\n".join(lines) + "\n"
