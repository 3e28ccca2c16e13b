"""``invoices``: a month's invoices, or a user's statements of them, and what they do not say."""

from __future__ import annotations

from slurm_gpucost.costing.invoices import statement
from slurm_gpucost.services import bill, names, rates, reserving, status
from slurm_gpucost.services.named.model import OWN, TEXT, Answer, Asked, Param, Query, Row
from slurm_gpucost.services.named.scope import Scope


def run(asked: Asked, scope: Scope) -> Answer:
    """The invoices of who sees everyone, and of coordinated accounts; of all others one's own statement."""
    month, account, user = (asked.params[name] for name in ("month", "account", "user"))
    scope.check([account] if account else None, [user] if user else None, "statements")
    if scope.everyone:
        made = bill.bill(asked.settings, asked.queries, month, account, user)
        if not made:  # an account can owe for a share or a reservation alone
            names.check(asked.queries, [account] if account else None, [user] if user else None)
    else:
        every = bill.bill(asked.settings, asked.queries, month, account)
        made = [one for invoice in every if (one := _seen(invoice, scope, user)) is not None]
    return Answer({"notes": _notes(asked, scope, month, account, user)}, scope.persons(made, dict))


def _seen(invoice: Row, scope: Scope, user: str | None) -> Row | None:
    if (invoice["cluster"], invoice["account"]) in scope.viewer.accounts:
        return invoice if user is None else statement(invoice, user)
    return statement(invoice, scope.user) if scope.user and user in (None, scope.user) else None


def _notes(asked: Asked, scope: Scope, month: str, account: str | None, user: str | None) -> list[str]:
    """What a reader of these invoices must know and they do not say."""
    settings, queries = asked.settings, asked.queries
    period = rates.period_in(month, settings.timezone)
    sees = None if scope.everyone else scope.sees
    notes: list[str] = []
    if asked.now_ms < period.start_ms:
        notes.append(f"{month} has not begun")
    elif asked.now_ms < period.end_ms:
        notes.append(f"{month} is not over: these are provisional; running jobs count up to the last accounting poll")
    for row in bill.unpriced(settings, queries, period.start_ms, period.end_ms, account, user, sees):
        todo = f"; {row['todo']}" if scope.everyone else "; tell an administrator"
        what = f"{row['unit_hours']} hours of {row['units']} (gres/{row['gres']}) on {row['cluster']}"
        notes.append(f"not priced, on no invoice: {what}{todo}")
    if account is None and user is None and scope.everyone:
        notes += [
            f"unbilled reservation {row['name'] or row['id']} of {row['cluster']}: {row['why']}"
            for row in reserving.unbilled(settings, queries, period.start_ms, period.end_ms)
        ]
    if scope.everyone:
        notes += [f"may lack something: {finding}" for finding in status.unprojected_findings(queries)]
    if count := bill.held_leases(queries, *period[:2], account, user, sees):
        notes.append(f"not billed: {count} leases that the accounting does not know; `gpucost jobs -a` shows them held")
    return notes


QUERIES = (
    Query(
        "invoices",
        "The invoices of a month, one per cluster and account; with a user, that user's statements instead.",
        (
            Param("month", TEXT, "YYYY-MM, in each pool's time zone.", required=True),
            Param("account", TEXT, "Only this account's."),
            Param("user", TEXT, "This user's statements: own lines, own total."),
        ),
        OWN,
        run,
    ),
)
