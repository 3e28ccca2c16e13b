"""sreport's way to ask: a report's name, then words like start=now-7days, in any case and cut short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from slurm_gpucost.domain.errors import UsageError

ACCOUNT_UTILIZATION_BY_USER = "AccountUtilizationByUser"
UTILIZATION = "Utilization"
REPORTS = (ACCOUNT_UTILIZATION_BY_USER, UTILIZATION)
_KEYS = ("accounts", "acct", "clusters", "end", "format", "start", "users")
_REFUSED = {
    "tree": "accounts are not rolled up to their parents",
    "qoslevel": "reports by QOS are not made; ask sreport",
    "withdeleted": "nothing is ever deleted here",
}
_EXAMPLE = f"gpucost report cluster {ACCOUNT_UTILIZATION_BY_USER} start=2026-10-01 end=2026-11-01 accounts=physics"


@dataclass
class Asked:
    """What the words asked for; lists are None where nothing was said."""

    report: str = ACCOUNT_UTILIZATION_BY_USER
    start: str | None = None
    end: str | None = None
    format: str | None = None
    all_clusters: bool = False
    lists: dict[str, list[str]] = field(default_factory=dict)

    def names(self, key: str) -> list[str] | None:
        """The ``accounts``, ``users`` or ``clusters`` that were named."""
        return self.lists.get(key)


def parse(words: Sequence[str]) -> Asked:
    """``cluster REPORT [key=value ...]``. Raises UsageError, saying what could stand there."""
    if not words or len(words[0]) < 2 or not "cluster".startswith(words[0].casefold()):
        raise UsageError(f"report {words[0] if words else ''}: only cluster reports are made, like: {_EXAMPLE}")
    name = words[1] if len(words) > 1 else ""
    found = [report for report in REPORTS if name and report.casefold().startswith(name.casefold())]
    if not found:
        raise UsageError(f"report cluster {name}: there are {', '.join(REPORTS)}, like: {_EXAMPLE}")
    asked = Asked(found[0])
    for word in words[2:]:
        _take(asked, word)
    return asked


def _take(asked: Asked, word: str) -> None:
    key, equals, value = word.partition("=")
    name = key.rstrip("+").casefold()
    for refused, why in _REFUSED.items():
        if len(name) > 3 and refused.startswith(name):
            raise UsageError(f"{word}: {why}")
    if not equals:
        if name and "all_clusters".startswith(name):
            asked.all_clusters = True
            return
        raise UsageError(f"{word}: write key=value, with one of {', '.join(_KEYS)}, or all_clusters")
    found = {"accounts" if k == "acct" else k for k in _KEYS if name and k.startswith(name)}
    if len(found) != 1:
        raise UsageError(f"{word}: no such key; there are {', '.join(_KEYS)}")
    (option,) = found
    if option in ("start", "end", "format"):
        setattr(asked, option, value)
    else:
        asked.lists.setdefault(option, []).extend(v.strip() for v in value.split(",") if v.strip())
