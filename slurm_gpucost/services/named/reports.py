"""``account_utilization_by_user`` and ``cluster_utilization``: sreport's two reports."""

from __future__ import annotations

from slurm_gpucost.domain.asked_times import as_sreport
from slurm_gpucost.domain.errors import NotAllowed
from slurm_gpucost.services import names, report
from slurm_gpucost.services.named.model import FLAG, OWN, TEXT, TEXTS, Answer, Asked, Param, Query, Row, texts
from slurm_gpucost.services.named.scope import Scope
from slurm_gpucost.services.utilization import utilization


def by_user(asked: Asked, scope: Scope) -> Answer:
    """GPU time by account and user; an account's row is the sum of the rows that the viewer sees."""
    params = asked.params
    start_ms, end_ms = _time(asked)
    accounts, users = texts(params["accounts"]), texts(params["users"])
    scope.check(accounts, users, "spend", shared=True)
    if scope.everyone:
        names.check(asked.queries, accounts, users)
    rows = report.account_utilization_by_user(
        asked.settings, asked.queries, start_ms, end_ms, accounts, users, _clusters(asked), params["energy"],
        None if scope.everyone else scope.sees_spend,
    )  # fmt: skip
    return Answer(_head(start_ms, end_ms), scope.spend(rows))


def of_clusters(asked: Asked, scope: Scope) -> Answer:
    """What each cluster's devices did in all: nobody's spend, so anyone may see it."""
    if not scope.viewer.totals:
        raise NotAllowed("cluster_utilization: usage is private here, sums of it, too; an administrator sees all")
    start_ms, end_ms = _time(asked)
    rows = utilization(asked.settings, asked.queries, start_ms, end_ms, _clusters(asked))
    return Answer(_head(start_ms, end_ms), scope.nobody(rows))


def _time(asked: Asked) -> tuple[int, int]:
    return as_sreport(asked.params["start"], asked.params["end"], asked.now_ms, asked.settings.timezone)


def _clusters(asked: Asked) -> list[str] | None:
    return None if asked.params["all_clusters"] else texts(asked.params["clusters"]) or [asked.settings.cluster]


def _head(start_ms: int, end_ms: int) -> Row:
    return {"start": start_ms // 1000, "end": end_ms // 1000}


_TIME = (
    Param("start", TEXT, "From when on, in Slurm's grammar; yesterday, by default."),
    Param("end", TEXT, "Until when; today, by default. What is yet to come is now."),
)
_CLUSTERS = (
    Param("clusters", TEXTS, "Only these clusters; else the site's."),
    Param("all_clusters", FLAG, "All clusters.", False),
)
QUERIES = (
    Query(
        "account_utilization_by_user",
        "GPU time by account and user with an estimate of its cost; a row with user '' is an account's sum.",
        (
            *_TIME,
            Param("accounts", TEXTS, "Only these accounts."),
            Param("users", TEXTS, "Only these users."),
            *_CLUSTERS,
            Param("energy", FLAG, "Also what the jobs drew.", False),
        ),
        OWN,
        by_user,
    ),
    Query(
        "cluster_utilization",
        "How much of each SKU was allocated, idle and out of use, by cluster.",
        (*_TIME, *_CLUSTERS),
        OWN,
        of_clusters,
    ),
)
