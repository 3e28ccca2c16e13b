"""The command tree. Only typer is imported here and in the commands' modules: --help stays quick."""

from __future__ import annotations

from typing import Annotated

import typer

from slurm_gpucost import __version__
from slurm_gpucost.cli import (
    access,
    accounts,
    audit,
    backfill,
    backup,
    config,
    demo,
    energy,
    init,
    invoice,
    jobs,
    node,
    rates,
    rebuild,
    reconcile,
    report,
    showback,
    status,
    token,
)
from slurm_gpucost.cli.options import Collector, Config, Ledger
from slurm_gpucost.cli.run import guarded

# No markup: rich would double the time of --help.
_HELP = ["-h", "--help"]
app = typer.Typer(
    name="gpucost",
    help="What GPU time costs under Slurm, and who spent it.",
    context_settings={"help_option_names": _HELP, "max_content_width": 100},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)
config_app = typer.Typer(help="The config file.", rich_markup_mode=None, no_args_is_help=True)
accounts_app = typer.Typer(help="What is known of accounts for billing.", rich_markup_mode=None, no_args_is_help=True)
node_app = typer.Typer(help="Nodes that write to the ledger.", rich_markup_mode=None, no_args_is_help=True)
rates_app = typer.Typer(help="What a GPU-hour costs.", rich_markup_mode=None, no_args_is_help=True)

access_app = typer.Typer(help="Who did what with rights.", rich_markup_mode=None, no_args_is_help=True)
token_app = typer.Typer(help="Tokens by which users ask the collector.", rich_markup_mode=None, no_args_is_help=True)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gpucost {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    config: Config = None,
    ledger: Ledger = None,
    collector: Collector = None,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """What GPU time costs under Slurm, and who spent it."""


app.command("init")(guarded(init.init))
config_app.command("check")(guarded(config.check))
config_app.command("record")(guarded(config.record))
config_app.command("history")(guarded(config.history))
app.add_typer(config_app, name="config")
app.command("status")(guarded(status.status))
app.command("backfill")(guarded(backfill.backfill))
app.command("rebuild")(guarded(rebuild.rebuild))
app.command("backup")(guarded(backup.backup))
app.command("restore")(guarded(backup.restore))
app.command("jobs")(guarded(jobs.jobs))
app.command("report")(guarded(report.report))
app.command("reconcile")(guarded(reconcile.reconcile))
app.command("invoice")(guarded(invoice.invoice))
app.command("showback")(guarded(showback.showback))
accounts_app.command("list")(guarded(accounts.list_))
accounts_app.command("import")(guarded(accounts.import_))
app.add_typer(accounts_app, name="accounts")
node_app.command("enroll")(guarded(node.enroll))
node_app.command("list")(guarded(node.list_))
node_app.command("revoke")(guarded(node.revoke))
app.add_typer(node_app, name="node")
app.command("energy")(guarded(energy.energy))
app.command("audit")(guarded(audit.audit))
rates_app.command("explain")(guarded(rates.explain))
rates_app.command("publish")(guarded(rates.publish))
rates_app.command("history")(guarded(rates.history))
rates_app.command("simulate")(guarded(rates.simulate))
app.add_typer(rates_app, name="rates")
token_app.command("issue")(guarded(token.issue))
token_app.command("list")(guarded(token.list_))
token_app.command("revoke")(guarded(token.revoke))
app.add_typer(token_app, name="token")
access_app.command("log")(guarded(access.log))
app.add_typer(access_app, name="access")
app.command("demo")(guarded(demo.demo))
