"""``accounts``: what is known of accounts for billing."""

from __future__ import annotations

from slurm_gpucost.domain.timegrammar import parse_time
from slurm_gpucost.services import accounts
from slurm_gpucost.services.named.model import IF_THERE, OWN, TEXT, Answer, Asked, Param, Query, Row
from slurm_gpucost.services.named.scope import Scope

_OF_COORDINATORS = ("contact", "tax_id", "tax_exempt")
"""Facts that who only uses an account is not told."""


def run(asked: Asked, scope: Scope) -> Answer:
    """All accounts for who sees everyone, else those that the viewer has used or coordinates."""
    at_ms = parse_time(asked.params["at"], asked.now_ms, asked.settings.timezone, "--at")
    account = asked.params["account"]
    scope.check([account] if account else None, None, "accounts")
    used, facts = asked.queries.ask("accounts"), asked.queries.ask("account_facts", now_ms=at_ms)
    rows = accounts.listed(asked.settings, used, at_ms, account if scope.everyone else None, facts)
    if account and not scope.everyone:
        rows = [row for row in rows if row["account"] == account]
    seen = rows if scope.everyone else [_unsourced(row) for row in rows]
    return Answer({}, scope.of_accounts(seen, _blank))


def _unsourced(row: Row) -> Row:
    """Without the files and keys of the ledger's host."""
    return {**row, "facts": [{**fact, "source": ""} for fact in row["facts"]]}


def _blank(row: Row) -> Row:
    return {**row, "facts": [fact for fact in row["facts"] if fact["field"] not in _OF_COORDINATORS]}


QUERIES = (
    Query(
        "accounts",
        "What is known of each account for billing: its class, contact, tax; and where each fact comes from.",
        (
            Param("account", TEXT, "Only this account."),
            Param("at", TEXT, "What holds then, in Slurm's grammar.", "now"),
        ),
        OWN,
        run,
        IF_THERE,
    ),
)
