"""``gpucost node``: enroll, list, revoke."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slurm_gpucost.cli.options import Collector, Config, Json, Ledger, Why

if TYPE_CHECKING:
    from slurm_gpucost.ledger.tokens import Who

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Nodes, as hostlists: n1 or n[1-4].")]
Cluster = Annotated[str | None, typer.Option(metavar="NAME", help="Their cluster; else the config's.")]


def enroll(
    ctx: typer.Context,
    names: Names,
    cluster: Cluster = None,
    directory: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write each token to DIR/NAME.token (mode 0600) instead of printing it."),
    ] = None,
    revoke_others: Annotated[
        bool, typer.Option("--revoke-others", help="Older tokens of these nodes are no good any more.")
    ] = False,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept",
            help="Give no token, but take in the journal of one node that waits; after NAME its id can stand.",
        ),
    ] = False,
    why: Why = "",
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Let nodes write to this ledger: a token for each, shown once and kept nowhere here."""
    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import nodes as document
    from slurm_gpucost.domain.errors import UsageError
    from slurm_gpucost.ledger.store import open_ledger
    from slurm_gpucost.services import enrolling
    from slurm_gpucost.sources.identity import identity

    if accept and (directory or revoke_others):
        raise UsageError("--accept: gives no token; leave out --directory and --revoke-others")
    found = site(ctx, config, ledger)
    name = cluster or found.settings.cluster
    if accept:
        nodes = enrolling.named(names[:1], name)
        if len(nodes) != 1 or len(names) > 2:
            raise UsageError("--accept: takes one node, and after it the journal: NAME --accept JOURNAL")
        with open_ledger(found.ledger) as opened, opened.transaction() as db:
            wanted = names[1] if len(names) > 1 else None
            journal = enrolling.accept(db, nodes[0], wanted, identity(), why, now_ms())
        row = {"cluster": name, "node": nodes[0].node, "journal": journal}
        emit_json(row) if json else emit(f"{row['node']}: journal {journal} is taken in from now on\n")
        return
    nodes = enrolling.named(names, name)
    with open_ledger(found.ledger) as opened, opened.transaction() as db:
        issued = enrolling.enroll(db, nodes, identity(), why, now_ms(), revoke_others=revoke_others)
        rows = _rows(issued, directory)
    emit_json(rows) if json else emit(document.enrolled(rows))


def _rows(issued: list[tuple[Who, str]], directory: Path | None) -> list[dict[str, Any]]:
    """A row for each token; with a directory each is written there. Where one cannot be, none is."""
    import os

    from slurm_gpucost.cli.files import write_whole

    if directory is None:
        return [{**who._asdict(), "token": token} for who, token in issued]
    written: list[Path] = []
    mask = os.umask(0o177)
    try:
        for who, token in issued:
            path = directory / f"{who.node}.token"
            write_whole(path, f"{token}\n", replace=False)
            written.append(path)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    finally:
        os.umask(mask)
    return [{**who._asdict(), "file": str(path)} for (who, _), path in zip(issued, written, strict=True)]


def list_(
    ctx: typer.Context,
    config: Config = None,
    ledger: Ledger = None,
    collector: Collector = None,
    json: Json = False,
) -> None:
    """Show each node that may write here: when it was heard, and what it said of itself."""
    from zoneinfo import ZoneInfo

    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.run import emit, emit_json, note
    from slurm_gpucost.documents import nodes as document

    told = ask(ctx, config, ledger, collector, "nodes")
    if json:
        emit_json(told.rows)
    elif told.rows:
        emit(document.page(told.rows, ZoneInfo(told.head["timezone"])))
    else:
        note("no node is enrolled; `gpucost node enroll NAME...` gives out tokens")


def revoke(
    ctx: typer.Context,
    names: Names,
    cluster: Cluster = None,
    why: Why = "",
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Take back all tokens of nodes: they cannot write here any more, and are no alarm. What they sent stays."""
    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import nodes as document
    from slurm_gpucost.ledger.store import open_ledger
    from slurm_gpucost.services import enrolling
    from slurm_gpucost.sources.identity import identity

    found = site(ctx, config, ledger)
    nodes = enrolling.named(names, cluster or found.settings.cluster)
    with open_ledger(found.ledger) as opened, opened.transaction() as db:
        gone = enrolling.revoke(db, nodes, identity(), why, now_ms())
    rows = [{**who._asdict(), "tokens": count} for who, count in gone]
    emit_json(rows) if json else emit(document.revoked(rows))
