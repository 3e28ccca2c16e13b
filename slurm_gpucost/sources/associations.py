"""What slurmdbd knows of accounts: ``sacctmgr show account``.

Both Description and Organization hold what operators write, ``|`` and newlines among it (seen on 22.05, 24.11 and
26.05); sacctmgr neither escapes nor takes a delimiter, and of a column asked for twice it prints the last only. So each
is asked for by itself, and the names too: a record begins where a line begins with a name. Where more lines do than
there are names, each account is asked for by itself. Accounts belong to a slurmdbd, not to a cluster; a user whom
PrivateData hides them from gets an error or too few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.sources import command

ROOT = "root"
"""The account that every slurmdbd has: who does not see it does not see them all."""
_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}


class Account(NamedTuple):
    """An account as slurmdbd keeps it: in lower case, with backticks for quotes."""

    name: str
    description: str
    organization: str


def ask(sacctmgr: str, timeout_seconds: float) -> list[Account]:
    """All accounts. Raises SourceError."""

    def show(columns: str, *which: str) -> str:
        words = [sacctmgr, "--parsable2", "--noheader", "show", "account", *which, f"format={columns}"]
        return command.run(words, timeout_seconds, _ENVIRONMENT)

    def texts(column: str) -> list[str]:
        found = texts_of(show(f"Account,{column}"), names)
        return [show(column, f"name={name}").strip() for name in names] if found is None else found

    names = show("Account").splitlines()
    return [Account(*one) for one in zip(names, texts("Description"), texts("Organization"), strict=True)]


def texts_of(reply: str, names: Sequence[str]) -> list[str] | None:
    """The text of each name, from lines ``name|text``; None where the reply can be read in more than one way.

    Raises SourceError where it is of other accounts.
    """
    lines, known = reply.removesuffix("\n").split("\n"), set(names)
    begins = [n for n, line in enumerate(lines) if "|" in line and line.partition("|")[0] in known]
    if len(begins) > len(names):
        return None
    if [lines[n].partition("|")[0] for n in begins] != list(names):
        raise SourceError("`sacctmgr show account` told of other accounts from one question to the next; ask again")
    ends = [*begins[1:], len(lines)]
    return ["\n".join(lines[a:z]).partition("|")[2].strip() for a, z in zip(begins, ends, strict=False)]
