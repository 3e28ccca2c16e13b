"""What an allocation portal calls the facts of an account: [accounts_import] of the config."""

from __future__ import annotations

from slurm_gpucost.costing.accounts import FIELDS
from slurm_gpucost.settings.kinds import Setting, text

ACCOUNT = "account"
_CALLED = {ACCOUNT: "slurm_account_name", "description": "project"}
"""By ColdFront itself; what else there is of an account a site names."""


def _text(key: str) -> str:
    if key == ACCOUNT:
        return "The attribute (JSON) or column (CSV) with the Slurm account; an allocation without it is passed over."
    return f"The attribute or column with the account's {key.replace('_', ' ')}."


PORTAL = tuple(Setting(key, "text", text, _CALLED.get(key, key), _text(key)) for key in (ACCOUNT, *FIELDS))
