"""Do these accounts and users exist?"""

from __future__ import annotations

import difflib
import json
import pwd
from collections.abc import Sequence

from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.services.queries import Queries


def check(queries: Queries, accounts: Sequence[str] | None, users: Sequence[str] | None) -> None:
    """Raise UsageError for a name that the ledger has never heard of; a user of this host is a user."""
    asked = {"account": list(accounts or ()), "user": list(users or ())}
    found = queries.ask("known_owners", accounts=json.dumps(asked["account"]), users=json.dumps(asked["user"]))
    for kind, option in (("account", "-A"), ("user", "-u")):
        known = {row["name"] for row in found if row["kind"] == kind}
        for name in asked[kind]:
            if name not in known and not (kind == "user" and _has_login(name)):
                near = difflib.get_close_matches(name, {row[kind] for row in queries.ask("owners")}, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise UsageError(f"{option} {name}: the ledger knows no such {kind}{hint}")


def _has_login(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
