"""Options that several commands share, and what they mean together."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from slurm_gpucost.settings import Settings

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The config; else GPUCOST_CONFIG, else /etc/gpucost/gpucost.toml."),
]
Ledger = Annotated[
    Path | None, typer.Option("--ledger", metavar="FILE", help="The ledger; else GPUCOST_LEDGER, else the config's.")
]
Collector = Annotated[
    str | None,
    typer.Option(
        "--collector",
        metavar="URL",
        help="Ask this collector, like https://HOST:PORT or unix:/PATH; else GPUCOST_COLLECTOR.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Month = Annotated[str | None, typer.Option(metavar="YYYY-MM", help="The month; else the present one.")]
Why = Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the log of changes.")]
NoHeader = Annotated[bool, typer.Option("-n", "--noheader", help="No heading.")]
Parsable = Annotated[bool, typer.Option("-p", "--parsable", help="Cells between |, with a | at the end.")]
Parsable2 = Annotated[bool, typer.Option("-P", "--parsable2", help="Cells between |, with none at the end.")]
Format = Annotated[
    str | None, typer.Option("-o", "--format", metavar="LIST", help="Columns: name[%[-]width],... in any case.")
]
Accounts = Annotated[
    list[str] | None, typer.Option("-A", "--accounts", metavar="LIST", help="Only these accounts (a,b).")
]
Clusters = Annotated[
    list[str] | None, typer.Option("-M", "--clusters", "--cluster", metavar="LIST", help="Only these clusters; or all.")
]


class Site(NamedTuple):
    """The config, and the ledger that a command is to use."""

    settings: Settings
    ledger: Path


def site(ctx: typer.Context, config: Path | None, ledger: Path | None) -> Site:
    """What --config and --ledger say: after the command, before it, in the environment, by default."""
    import os

    from slurm_gpucost.settings import load

    settings = load(config_path(ctx, config))
    given = ledger or ctx.find_root().params.get("ledger") or os.environ.get("GPUCOST_LEDGER")
    return Site(settings, Path(given) if given else settings.ledger)


def config_path(ctx: typer.Context, config: Path | None) -> Path:
    """The config's path, by the same order."""
    from slurm_gpucost.settings import find

    given = config or ctx.find_root().params.get("config")
    return find(str(given) if given else None)


def words(values: list[str] | None) -> list[str] | None:
    """Comma lists, given once or more; None where there is none."""
    found = [word for value in values or () for word in (part.strip() for part in value.split(",")) if word]
    return found or None


def now_ms() -> int:
    """Wall time, ms UTC."""
    return time.time_ns() // 1_000_000
