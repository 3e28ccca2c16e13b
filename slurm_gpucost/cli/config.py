"""``gpucost config check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger

if TYPE_CHECKING:
    from slurm_gpucost.cli.options import Site


def check(ctx: typer.Context, config: Config = None, ledger: Ledger = None, json: Json = False) -> None:
    """Name all faults of the config in one go (exit 2), and GPUs that are used but not priced (exit 1)."""
    from slurm_gpucost.cli.options import config_path, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.domain.errors import ConfigError

    result: dict[str, Any] = {"config": str(config_path(ctx, config)), "faults": [], "findings": []}
    try:
        found = site(ctx, config, ledger)
    except ConfigError as error:
        if not json:
            raise
        emit_json({**result, "faults": list(error.faults)})
        raise typer.Exit(error.exit_code) from None
    result["findings"] = _findings(found)
    if json:
        emit_json(result)
    else:
        emit("".join(f"{line}\n" for line in _lines(found, result["findings"])))
    if result["findings"]:
        raise typer.Exit(1)


def _findings(found: Site) -> list[str]:
    from slurm_gpucost.services.queries import open_queries
    from slurm_gpucost.services.status import unpriced_kinds

    if not found.ledger.exists():
        return []
    with open_queries(found.settings, found.ledger) as queries:
        return unpriced_kinds(found.settings, queries)


def _lines(found: Site, findings: list[str]) -> list[str]:
    from slurm_gpucost.documents.terminal import safe

    settings = found.settings
    lines = [f"{settings.path}: no faults; cluster {safe(settings.cluster)}, {settings.timezone}, {settings.currency}"]
    for pool in settings.pools:
        skus = ", ".join(f"{sku.devices} x {safe(sku.name)}" for sku in pool.skus)
        lines.append(f"  pool {safe(pool.name)}: {skus}")
    lines.append(f"  ledger {found.ledger}" + ("" if found.ledger.exists() else ": not there yet"))
    return lines + [f"finding: {safe(finding)}" for finding in findings]
