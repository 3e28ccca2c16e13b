"""``access_log``: who looked at cost items and changed rights; of others' acts one sees those that concern oneself."""

from __future__ import annotations

from slurm_gpucost.domain.errors import NotAllowed
from slurm_gpucost.services import access_log
from slurm_gpucost.services.named.model import OWN, TEXT, Answer, Asked, Param, Query, Row
from slurm_gpucost.services.named.scope import Scope

_TOLD = ("seq", "at", "login", "uid", "host", "did", "token", "days", "why")
"""What is told of an act to whom it concerns; not on which others it was, too, nor what else was asked with it."""


def run(asked: Asked, scope: Scope) -> Answer:
    """What was done, oldest first."""
    user: str | None = asked.params["user"]
    if user is not None and not scope.everyone and not scope.own(user):
        raise NotAllowed("access_log: you may see what you did and what concerns you; an administrator sees all")
    whose = user if scope.everyone else scope.user
    rows = [] if whose == "" else access_log.acted_on(asked.queries.connection, whose)
    return Answer({}, scope.acts(rows, _blank))


def _blank(row: Row) -> Row:
    return {key: row[key] for key in _TOLD if key in row}


QUERIES = (
    Query(
        "access_log",
        "Who issued tokens, looked at cost items or acted for somebody: what one did oneself, or what concerns one.",
        (Param("user", TEXT, "Only what this user did, or what concerns him."),),
        OWN,
        run,
    ),
)
