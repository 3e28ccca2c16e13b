"""``gpucost config``: check, record, history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from slurm_gpucost.cli.options import Collector, Config, Json, Ledger, Why

if TYPE_CHECKING:
    from slurm_gpucost.cli.options import Site
    from slurm_gpucost.settings import Sku


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
        skus = ", ".join(f"{_devices(sku)} x {safe(sku.name)}" for sku in pool.skus)
        lines.append(f"  pool {safe(pool.name)}: {skus}")
    lines.append(f"  ledger {found.ledger}" + ("" if found.ledger.exists() else ": not there yet"))
    return lines + [f"finding: {safe(finding)}" for finding in findings]


def _devices(sku: Sku) -> str:
    return ", ".join([str(sku.devices), *(f"{count} from {since}" for since, count in sku.later_devices)])


def record(
    ctx: typer.Context,
    why: Why = "",
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Note in the log of changes what of the costs in the config is another than was noted last, by whom and why."""
    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import cards
    from slurm_gpucost.ledger.store import open_ledger
    from slurm_gpucost.services import recorded
    from slurm_gpucost.sources.identity import identity

    found = site(ctx, config, ledger)
    with open_ledger(found.ledger) as opened, opened.transaction() as db:
        changed = recorded.record(db, found.settings, identity(), why, now_ms())
    if json:
        emit_json(changed)
    else:
        emit(cards.changes(changed) or "Nothing has changed since it was noted last.\n")


def history(
    ctx: typer.Context, config: Config = None, ledger: Ledger = None, collector: Collector = None, json: Json = False
) -> None:
    """Show every noted change of the costs in the config: who, when, from where, why, and each value before and now."""
    from zoneinfo import ZoneInfo

    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.run import emit, emit_json, note
    from slurm_gpucost.documents import cards

    told = ask(ctx, config, ledger, collector, "config_history")
    if json:
        emit_json(told.rows)
    elif told.rows:
        emit(cards.config_history(told.rows, ZoneInfo(told.head["timezone"])))
    else:
        note("no values of the config are noted yet: `gpucost config record` or the start of gpucostd notes them")
