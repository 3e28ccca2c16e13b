"""What slurmdbd knows of accounts: ``sacctmgr show account``.

Both Description and Organization hold what operators write, ``|`` and newlines among it (seen on 22.05, 24.11 and
26.05); sacctmgr neither escapes nor takes a delimiter, and of a column asked for twice it prints the last only. So each
is asked for by itself, and the accounts' names too: the next record begins where a line begins with the next name.
Accounts belong to a slurmdbd, not to a cluster. A user whom PrivateData hides them from gets an error or too few.
"""

from __future__ import annotations

from typing import NamedTuple

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import AccountReport
from slurm_gpucost.sources import command

ROOT = "root"
"""The account that every slurmdbd has: who does not see it does not see them all."""
_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}


class Asked(NamedTuple):
    """The replies, one to each question."""

    names: str
    organizations: str
    descriptions: str


def ask(sacctmgr: str, timeout_seconds: float) -> Asked:
    """Ask of all accounts. Raises SourceError."""

    def show(columns: str) -> str:
        words = [sacctmgr, "--parsable2", "--noheader", "show", "account", f"format={columns}"]
        return command.run(words, timeout_seconds, _ENVIRONMENT)

    return Asked(show("Account"), show("Account,Organization"), show("Account,Description"))


def parse(asked: Asked, cluster: str, observed_at_ms: int) -> list[AccountReport]:
    """A report of each account. Raises SourceError where the replies do not fit together."""
    names = asked.names.splitlines()
    organizations, descriptions = _texts(asked.organizations, names), _texts(asked.descriptions, names)
    return [
        AccountReport(cluster, name, observed_at_ms, description, organization)
        for name, description, organization in zip(names, descriptions, organizations, strict=True)
    ]


def _texts(reply: str, names: list[str]) -> list[str]:
    found: list[list[str]] = []
    for line in reply.removesuffix("\n").split("\n") if reply else ():
        if len(found) < len(names) and line.startswith(f"{names[len(found)]}|"):
            found.append([line[len(names[len(found)]) + 1 :]])
        elif found:
            found[-1].append(line)
    if len(found) != len(names):
        raise SourceError("`sacctmgr show account` told of other accounts from one question to the next; ask again")
    return ["\n".join(lines).strip() for lines in found]
