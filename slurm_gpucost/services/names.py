"""Do these accounts and users exist?"""

from __future__ import annotations

import difflib
import pwd
from collections.abc import Sequence

from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.services.queries import Queries


def check(queries: Queries, accounts: Sequence[str] | None, users: Sequence[str] | None) -> None:
    """Raise UsageError for a name that the ledger has never heard of; a user of this host is a user."""
    rows = queries.ask("owners")
    for option, wanted, known in (
        ("-A", accounts, {row["account"] for row in rows}),
        ("-u", users, {row["user"] for row in rows}),
    ):
        for name in wanted or ():
            if name in known or (option == "-u" and _has_login(name)):
                continue
            near = difflib.get_close_matches(name, known, 1)
            what = "account" if option == "-A" else "user"
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"{option} {name}: the ledger knows no such {what}{hint}")


def _has_login(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
