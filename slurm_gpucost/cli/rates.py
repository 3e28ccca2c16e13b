"""``gpucost rates``: explain, publish, history, simulate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from slurm_gpucost.cli.options import Collector, Config, Json, Ledger, Month, Why

if TYPE_CHECKING:
    from datetime import datetime

    from slurm_gpucost.cli.asking import Told


def explain(
    ctx: typer.Context,
    month: Month = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a page for the browser, to read or print; - prints it.")
    ] = None,
    config: Config = None,
    ledger: Ledger = None,
    collector: Collector = None,
    json: Json = False,
) -> None:
    """Show line by line how the price of each SKU's hour comes about, with the file and key of every number.

    What was published is shown as it was derived then; anything else is derived from the config as it is now.
    """
    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import derivation
    from slurm_gpucost.domain.errors import UsageError

    if json and html == "-":
        raise UsageError("--html -: both --json and --html would be printed; name a file, or leave one of them")
    told = ask(ctx, config, ledger, collector, "rates_explain", month=month)
    text = _web(html, told) if html else derivation.pages(told.rows)
    if json:
        emit_json(told.rows)
    else:
        emit(text)


def _web(html: str, told: Told) -> str:
    """Writes the page; what is to be printed: a line that says so, or for - the page itself."""
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from slurm_gpucost.cli.files import write_whole
    from slurm_gpucost.documents import web
    from slurm_gpucost.documents.times import with_offset

    head, rows = told
    page = web.rates(rows, head["cluster"], head["month"], with_offset(head["now"], ZoneInfo(head["timezone"])))
    if html == "-":
        return page
    write_whole(Path(html), page)
    return f"{html}: the rates of {head['month']}, {len(rows)} in all\n"


def publish(
    ctx: typer.Context,
    start: Annotated[
        str,
        typer.Option(
            "--from", metavar="TIME", help="From when on they hold: YYYY-MM-DD or YYYY-MM-DDTHH, in each pool's zone."
        ),
    ],
    why: Why = "",
    pool: Annotated[str | None, typer.Option(metavar="POOL", help="Only this pool's; else all.")] = None,
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Publish the rates that the config gives: from then on these prices hold, whatever the config says later.

    They stand as they are, with their derivation; the next change of price is another one that begins later.
    """
    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import cards
    from slurm_gpucost.ledger.store import open_ledger
    from slurm_gpucost.services import publishing
    from slurm_gpucost.sources.identity import identity

    found = site(ctx, config, ledger)
    effective = _local(start)
    with open_ledger(found.ledger) as opened:
        rows = publishing.publish(found.settings, opened, effective, identity(), why, now_ms(), pool)
    if json:
        emit_json(rows)
    else:
        emit(cards.published(rows))


def history(
    ctx: typer.Context,
    config: Config = None,
    ledger: Ledger = None,
    collector: Collector = None,
    json: Json = False,
) -> None:
    """Show every publication of rates: prices, who, when, from where, why, and what of the config had changed."""
    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.run import emit, emit_json, note
    from slurm_gpucost.documents import cards

    rows = ask(ctx, config, ledger, collector, "rates_history").rows
    if json:
        emit_json(rows)
    elif rows:
        emit(cards.history(rows))
    else:
        note("no rates are published: prices follow the config; `gpucost rates publish` makes them stand")


def simulate(
    ctx: typer.Context,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="As if the config had this value; as often as you like."),
    ] = None,
    cloud: Annotated[
        str | None,
        typer.Option(metavar="PRICE", help="A cloud's price per GPU-hour, to find the break-even utilization."),
    ] = None,
    month: Month = None,
    config: Config = None,
    ledger: Ledger = None,
    collector: Collector = None,
    json: Json = False,
) -> None:
    """Show what the rates would be with other values: before and after, by utilization, against a cloud's price.

    Nothing is changed. Keys are the config's: pools.main.tariff_per_kwh=0.31, pools.main.assets.0.life_years=4.
    """
    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import simulation as document

    rows = ask(ctx, config, ledger, collector, "rates_simulate", changes=change, cloud=cloud, month=month).rows
    if json:
        emit_json(rows)
    else:
        emit(document.page(rows))


def _local(text: str) -> datetime:
    from datetime import datetime

    from slurm_gpucost.domain.errors import UsageError

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None:
        raise UsageError(f"--from '{text}': write a date, or a date and hour, like 2026-12-01 or 2026-12-01T06")
    return found
