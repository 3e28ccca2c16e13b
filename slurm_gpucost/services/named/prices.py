"""Questions about prices and about the values of the config that make them."""

from __future__ import annotations

from decimal import Decimal

from slurm_gpucost.domain.errors import NotAllowed, UsageError
from slurm_gpucost.services import publishing, rates, recorded, simulation, status
from slurm_gpucost.services.named.model import (
    COSTS,
    IF_THERE,
    OWN,
    TEXT,
    TEXTS,
    UNUSED,
    Answer,
    Asked,
    Param,
    Query,
    Row,
    texts,
)
from slurm_gpucost.services.named.scope import Scope
from slurm_gpucost.services.named.whole import MONTH, month_of
from slurm_gpucost.settings import load
from slurm_gpucost.settings.kinds import number
from slurm_gpucost.settings.load import keys_of

_FILES = "costs_file"
"""The setting that names a further file to read."""


def explain(asked: Asked, _: Scope) -> Answer:
    """How the price of each SKU's hour comes about."""
    month = month_of(asked)
    return Answer({"month": month}, rates.explain(asked.settings, month, asked.queries.ask("rates")))


def history(asked: Asked, scope: Scope) -> Answer:
    """Every publication. Prices are posted for all; who, why and what had changed for who sees costs."""
    rows = publishing.history(asked.queries.ask("rates"), asked.settings)
    return Answer({}, scope.nobody(rows if scope.viewer.costs else map(_posted, rows)))


def _posted(row: Row) -> Row:
    return {key: row[key] for key in ("pool", "version", "effective", "published", "currency", "prices")}


def simulate(asked: Asked, _: Scope) -> Answer:
    """The rates as they are, and as if the config had other values."""
    now, changes = asked.settings, texts(asked.params["changes"]) or ()
    if not asked.local and _FILES in keys_of(changes):
        raise NotAllowed(f"--set: {_FILES} names a file of the ledger's host; try it there, with --config")
    cloud = asked.params["cloud"]
    try:
        price = None if cloud is None else number(cloud, low=Decimal(0), above=True)
    except ValueError as error:
        raise UsageError(f"--cloud {cloud}: {error}") from None
    month = month_of(asked)
    return Answer({"month": month}, simulation.simulate(now, load(now.path, changes), month, price))


def config_history(asked: Asked, _: Scope) -> Answer:
    """Every noted change of the config's costs."""
    return Answer({}, recorded.history(asked.queries.ask("config_changes")))


def config_findings(asked: Asked, _: Scope) -> Answer:
    """Kinds of GPU that are used and not priced, a line each."""
    return Answer({}, [{"finding": line} for line in status.unpriced_kinds(asked.settings, asked.queries)])


QUERIES = (
    Query(
        "rates_explain",
        "Line by line how the price of each SKU's hour comes about, with the file and key of every number.",
        (MONTH,),
        COSTS,
        explain,
        IF_THERE,
    ),
    Query("rates_history", "Every publication of rates.", (), OWN, history, costs=True),
    Query(
        "rates_simulate",
        "What the rates would be with other values. Nothing is changed.",
        (
            Param("changes", TEXTS, "KEY=VALUE: as if the config had this value."),
            Param("cloud", TEXT, "A cloud's price per GPU-hour, to find the break-even utilization."),
            MONTH,
        ),
        COSTS,
        simulate,
        UNUSED,
    ),
    Query("config_history", "Every noted change of the costs in the config.", (), COSTS, config_history),
    Query("config_findings", "GPUs that are used but not priced.", (), COSTS, config_findings, IF_THERE),
)
