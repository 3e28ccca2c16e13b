"""``gpucost init``: a commented config that works without an editor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slurm_gpucost.cli.options import Config, Ledger


def init(
    ctx: typer.Context,
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="The site's time zone, like Asia/Kolkata.")],
    currency: Annotated[str, typer.Option(metavar="CODE", help="ISO 4217 code, like EUR.")],
    cluster: Annotated[str, typer.Option(metavar="NAME", help="The cluster, as `sacctmgr show cluster` has it.")],
    gpu: Annotated[
        list[str],
        typer.Option(metavar="TYPE=COUNTxPRICE", help="GRES type, devices, price of one: a100=500x12000. Repeat."),
    ],
    config: Config = None,
    shards: Annotated[int, typer.Option(min=0, help="Shards (gres/shard) that make up one device.")] = 0,
    ledger: Ledger = None,
    spool: Annotated[Path | None, typer.Option(metavar="DIR", help="Where hooks leave their event files.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a config that is there.")] = False,
) -> None:
    """Write a commented config that works as it is.

    Every value that is not given is a default, and says so in the file.
    """
    from datetime import date

    from slurm_gpucost.cli.files import write_whole
    from slurm_gpucost.cli.options import config_path
    from slurm_gpucost.cli.run import emit
    from slurm_gpucost.domain.errors import ConfigError, GpucostError
    from slurm_gpucost.settings import load, parse_gpu_option, template

    path = config_path(ctx, config)
    chosen = ledger or ctx.find_root().params.get("ledger")
    if path.exists() and not force:
        raise GpucostError(f"{path}: is there already and stays as it is; --force replaces it")
    text = template(
        timezone=timezone,
        currency=currency,
        cluster=cluster,
        gpus=[parse_gpu_option(option) for option in gpu],
        shards=shards,
        ledger=chosen.absolute() if chosen else None,
        spool=spool.absolute() if spool else None,
        purchase_date=date.today(),  # noqa: DTZ011 (a calendar day, for the person to correct)
    )

    def check(written: Path) -> None:
        try:
            load(written)
        except ConfigError as error:
            raise ConfigError(*(fault.replace(f"{written}: ", "init: ") for fault in error.faults)) from None

    write_whole(path, text, replace=force, check=check)
    settings = load(path)
    emit(_next(path, settings.ledger, settings.spool))


def _next(path: Path, ledger: Path, spool: Path) -> str:
    import shlex

    option = f"--config {shlex.quote(str(path))}"
    lines = [f"Wrote {path}. Its prices and powers are assumptions until you have put yours.", "", "Next:"]
    if not ledger.parent.is_dir():
        lines.append(f"  mkdir -p {shlex.quote(str(ledger.parent))}")
    lines += [
        f"  gpucost config check {option}",
        f"  gpucost rates explain {option}",
        f"  gpucost backfill {option} -S now-30days -E now",
        f"  gpucostd run {option}",
    ]
    if str(spool) != "/run/gpucost/spool":
        lines.append(f"The hooks need to know the spool: write {spool} into /etc/gpucost/spool on every node.")
    return "\n".join(lines) + "\n"
