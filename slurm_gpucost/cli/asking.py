"""Where a reading command asks: a ledger's file, or a collector; and what comes back.

The nearest word counts: --ledger and --collector after the command, then before it, then in the environment. Without
any the collector's socket on this host, the collector's URL in the config, the config's ledger, in this order.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from slurm_gpucost.cli import options
from slurm_gpucost.cli.options import config_path, site
from slurm_gpucost.domain.errors import ConfigError, NotAllowed, UsageError

if TYPE_CHECKING:
    from slurm_gpucost.domain.access import Viewer
    from slurm_gpucost.settings.load import Outside
    from slurm_gpucost.sources.collector_endpoint import Endpoint

SOCKET = Path("/run/gpucost/collector.sock")
"""Where a collector is on its own host, unless the config says another place."""


class Told(NamedTuple):
    """An answer, all of it here."""

    head: dict[str, Any]
    rows: list[dict[str, Any]]


class _Collector(NamedTuple):
    at: Endpoint
    ca_file: Path | None = None
    munge_socket: Path | None = None


def ask(
    ctx: typer.Context, config: Path | None, ledger: Path | None, collector: str | None, name: str, **params: Any
) -> Told:
    """The answer to a named question; what its head has to say to a person goes to stderr."""
    from slurm_gpucost.cli.run import note

    given = {key: value for key, value in params.items() if value is not None}
    found = _collector(ctx, config, ledger, collector)
    told = _of_ledger(ctx, config, ledger, name, given) if found is None else _of_collector(found, name, given)
    for line in told.head.get("notes", ()):
        note(str(line))
    return told


def _of_ledger(ctx: typer.Context, config: Path | None, ledger: Path | None, name: str, params: dict[str, Any]) -> Told:
    from slurm_gpucost.services.named import answer

    found = site(ctx, config, ledger)
    with answer(found.settings, found.ledger, name, params, _myself(), options.now_ms(), local=True) as made:
        return Told(made.head, list(made.rows))


def _of_collector(found: _Collector, name: str, params: dict[str, Any]) -> Told:
    from slurm_gpucost.cli.credentials import Credentials
    from slurm_gpucost.sources import collector_client

    who = Credentials(found.at, found.munge_socket)
    try:
        reply = collector_client.ask(found.at, name, params, who, found.ca_file)
        return Told(reply.head, list(reply.rows))
    except NotAllowed as error:
        if not who.lack:
            raise
        raise NotAllowed(f"{error}; {who.lack}") from None


def _myself() -> Viewer:
    """Whoever opens the file sees all of it; whose jobs are his own, his login says. Root has none."""
    import pwd
    from dataclasses import replace

    from slurm_gpucost.domain.access import FILE_OWNER

    uid = os.getuid()
    if uid == 0:
        return FILE_OWNER
    try:
        return replace(FILE_OWNER, user=pwd.getpwuid(uid).pw_name)
    except KeyError:
        return replace(FILE_OWNER, user=str(uid))


def _collector(
    ctx: typer.Context, config: Path | None, ledger: Path | None, collector: str | None
) -> _Collector | None:
    """The collector to ask; None: the ledger's file."""
    root, env = ctx.find_root().params, os.environ
    for file, url in ((ledger, collector), (root.get("ledger"), root.get("collector"))):
        if file and url:
            raise UsageError(f"--ledger {file} --collector {url}: give one of the two")
        if file:
            return None
        if url:
            return _named(url, "--collector", _outside(config_path(ctx, config)))
    if env.get("GPUCOST_LEDGER"):
        return None
    if url := env.get("GPUCOST_COLLECTOR"):
        return _named(url, "GPUCOST_COLLECTOR", _outside(config_path(ctx, config)))
    return _configured(config_path(ctx, config), bool(config or root.get("config") or env.get("GPUCOST_CONFIG")))


def _configured(path: Path, explicit: bool) -> _Collector | None:
    """What the config names; where this user may not read it, or the usual one is not there, the usual socket."""
    if explicit and not path.exists():
        return None  # what was named and is not there is said, and nobody else is asked
    found = _outside(path)
    socket = found.collector.socket if found else SOCKET
    if not (explicit and found and _of_ones_own(found)) and _answers(socket):
        return _named(f"unix:{socket}", "socket", found)
    if found and found.collector.url:
        return _named(found.collector.url, f"{path}: collector.url:", found)
    if found and found.alone:
        raise ConfigError(f"{path}: collector: none answers at {found.collector.socket}, and no url is given")
    return None


def _of_ones_own(found: Outside) -> bool:
    """Whether a config that was named is of a ledger that this user keeps, and not of this host's collector.

    `gpucost init` writes the usual socket into every config; a trial's must not be answered from the site's ledger.
    """
    if found.alone or found.collector.socket != SOCKET:
        return False
    try:
        found.ledger.stat()
    except PermissionError:
        return False
    except OSError:
        return True
    return os.access(found.ledger, os.R_OK)


def _outside(path: Path) -> Outside | None:
    """None where there is no config, or none that this user may read."""
    from slurm_gpucost.settings.load import outside

    return outside(path) if os.access(path, os.R_OK) else None


def _answers(socket: Path) -> bool:
    from slurm_gpucost.sources.collector_endpoint import answers

    return socket.exists() and answers(socket)


def _named(url: str, option: str, found: Outside | None) -> _Collector:
    from slurm_gpucost.sources.collector_endpoint import endpoint

    at = endpoint(url, option)
    return _Collector(at, found.collector.ca_file, found.munge_socket) if found else _Collector(at)
