# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""[access]: roles that Slurm does not know, what users see of each other, and from where rights are taken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slurm_gpucost.domain.hostlist import expand
from slurm_gpucost.settings.kinds import Setting, absolute_path, names, text, whole

OWN, ACCOUNT, ALL = "own", "account", "all"
SLURM = "slurm"
PRIVATE = ("accounts", "jobs", "usage", "users")
"""The words of Slurm's PrivateData that count here."""
_LIFETIMES = (60, 3600)


def visibility(value: Any) -> str:
    """own, account or all."""
    if value not in (OWN, ACCOUNT, ALL):
        raise ValueError(f"must be '{OWN}', '{ACCOUNT}' or '{ALL}'")
    return text(value)


def private_data(value: Any) -> str | tuple[str, ...]:
    """'slurm', or words of PrivateData."""
    if value == SLURM:
        return SLURM
    if isinstance(value, list) and all(word in PRIVATE for word in value):
        return tuple(value)
    raise ValueError(f"must be '{SLURM}' or a list of some of: {', '.join(PRIVATE)}")


def hosts(value: Any) -> tuple[str, ...]:
    """The names in a hostlist; '' has none."""
    if not isinstance(value, str):
        raise ValueError('must be a hostlist in quotes, like "admin[1-2]"')
    return tuple(expand(value))


def lifetime(value: Any) -> int:
    """Seconds, within what MUNGE gives."""
    seconds = whole(value, low=_LIFETIMES[0])
    if seconds > _LIFETIMES[1]:
        raise ValueError(f"must be at most {_LIFETIMES[1]}")
    return seconds


ACCESS = (
    Setting("finance", "list of texts", names, (), "User names that see all spend and invoices, and may publish rates and import what is said of accounts."),
    Setting("costs", "list of texts", names, (), "User names that see what machines and staff cost. No other role has this right."),
    Setting("administrators", "list of texts", names, (), "User names that have the rights of a Slurm operator here, beside those who are one."),
    Setting("visibility", "text", visibility, OWN, "What users see: `own` jobs and spend; also the spend by user of every `account` that they are members of; or that of `all` accounts. Never others' jobs."),
    Setting("private_data", "text or list of texts", private_data, SLURM, "What narrows `visibility`: `slurm`, the PrivateData of slurm.conf and slurmdbd.conf as sacctmgr tells it; or a list of `accounts`, `jobs`, `usage`, `users`."),
    Setting("trusted_hosts", "text", hosts, "", "Hostlist of the hosts from which operators, administrators and finance are taken for what they are over MUNGE, and may act by token. Whoever can log in there and is root on any host with the MUNGE key can be any of them. The ledger's host needs no entry: its socket counts."),
    Setting("munge_lifetime_seconds", "whole number", lifetime, 300, "A MUNGE credential that is older or lives longer is refused: 60 to 3600."),
    Setting("munge_socket", "path", absolute_path, None, "The socket of munged; MUNGE's own default if not given."),
)  # fmt: skip


@dataclass(frozen=True)
class Access:
    """[access]."""

    finance: tuple[str, ...]
    costs: tuple[str, ...]
    administrators: tuple[str, ...]
    visibility: str
    private_data: str | tuple[str, ...]
    trusted_hosts: tuple[str, ...]
    munge_lifetime_seconds: int
    munge_socket: Path | None


def access_of(values: dict[str, Any]) -> Access:
    """From what was read; what is faulty is left out there, and its default does not count."""
    complete = {setting.key: values.get(setting.key, setting.default) for setting in ACCESS}
    return Access(**{**complete, "trusted_hosts": tuple(complete["trusted_hosts"])})
