"""Questions about the whole site: status, showback, energy, reconciliation, audit."""

from __future__ import annotations

from slurm_gpucost.costing.periods import month_at
from slurm_gpucost.domain.asked_times import until
from slurm_gpucost.services import audit, meter, nodes, reconcile, showback, status
from slurm_gpucost.services.named.model import ALL, OWN, TEXT, Answer, Asked, Param, Query
from slurm_gpucost.services.named.scope import Scope

_PAST = "now-35days"


def month_of(asked: Asked) -> str:
    """The month that was asked for, else the present one at the site."""
    month: str | None = asked.params["month"]
    return month or month_at(asked.now_ms, asked.settings.timezone)


def of_status(asked: Asked, scope: Scope) -> Answer:
    """One row: all of it for who sees everyone; for others when each witness was last heard."""
    if scope.everyone:
        row = status.status(asked.settings, asked.queries, asked.now_ms)
    else:
        row = status.health(asked.queries, asked.now_ms)
    return Answer({}, scope.nobody([row]))


def of_showback(asked: Asked, _: Scope) -> Answer:
    """Rows by pool and SKU."""
    rows = showback.showback(asked.settings, asked.queries, asked.params["month"], asked.now_ms)
    return Answer({}, rows)


def of_energy(asked: Asked, _: Scope) -> Answer:
    """Rows by pool."""
    month = month_of(asked)
    return Answer({"month": month}, meter.electricity(asked.settings, asked.queries, month, asked.now_ms))


def of_reconcile(asked: Asked, _: Scope) -> Answer:
    """One row."""
    start, end, zone = asked.params["start"], asked.params["end"], asked.settings.timezone
    start_ms, end_ms = until(start, _PAST, end, asked.now_ms, zone)
    return Answer({}, [reconcile.reconcile(asked.settings, asked.queries, start_ms, end_ms, asked.now_ms)])


def of_audit(asked: Asked, _: Scope) -> Answer:
    """One row."""
    month = month_of(asked)
    return Answer({"month": month}, [audit.audit(asked.settings, asked.queries, month, asked.now_ms)])


def of_nodes(asked: Asked, _: Scope) -> Answer:
    """Rows by node and journal."""
    return Answer({}, nodes.listed(asked.queries))


MONTH = Param("month", TEXT, "YYYY-MM; else the present one.")
QUERIES = (
    Query("status", "What the ledger holds, when each witness was last heard, what needs a look.", (), OWN, of_status),
    Query(
        "showback",
        "What a month that is over really cost, divided among those who held the GPUs.",
        (Param("month", TEXT, "YYYY-MM, in each pool's time zone.", required=True),),
        ALL,
        of_showback,
    ),
    Query(
        "energy",
        "The electricity of each pool's month: measured, imputed and assumed, against the bill.",
        (MONTH,),
        ALL,
        of_energy,
    ),
    Query(
        "reconcile",
        "Where hooks, controller, accounting and driver differ.",
        (
            Param("start", TEXT, "From when on, in Slurm's grammar; 35 days ago, by default."),
            Param("end", TEXT, "Until when; now, by default."),
        ),
        ALL,
        of_reconcile,
    ),
    Query("nodes", "Each node that may write here: when it was heard, what it said of itself.", (), ALL, of_nodes),
    Query("audit", "The money added up again from the evidence.", (MONTH,), ALL, of_audit),
)
