"""Reading commands asked of a collector: byte for byte what they print of the ledger's file."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from slurm_gpucost.cli import asking, options
from slurm_gpucost.domain.access import Viewer
from slurm_gpucost.ledger import ingest, projector
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services.callers import Request, by_munge
from slurm_gpucost.settings import load
from tests.munged import Munged
from tests.unit.builders import T0, hook
from tests.unit.collector_server import Collector, Response, serving

Run = Callable[..., Result]
OCTOBER = "start=2026-10-01 end=2026-11-01"
COMMANDS = [
    "jobs -a -S 2026-10-01",
    "jobs -u bob -A physics -S 2026-10-01 -o JobID,State%20,Start,GPUs -P",
    "jobs -a -S 2026-10-01 -s CA,f -E now --json",
    "jobs -j 20_7 -L",
    "jobs -u bbo",
    "jobs -j x",
    "jobs -S now -E now-1hour",
    f"report cluster AccountUtilizationByUser {OCTOBER} -t Hours",
    f"report cluster acc {OCTOBER} users=alice -T energy --json",
    f"report cluster Utilization {OCTOBER} -P",
    "report cluster acc accounts=physic",
    "invoice --month 2026-10",
    "invoice --month 2026-10 -u alice --json",
    "invoice --month 2026-10 --csv -",
    "invoice --month 2026-11",
    "invoice --month 2026-10 -A nobody",
    "invoice --month soon",
    "status",
    "showback --month 2026-10",
    "showback --month 2026-10 --json",
    "showback --month 2026-12",
    "energy --month 2026-10",
    "energy --json",
    "rates explain --month 2026-10",
    "rates explain --html -",
    "rates explain --json",
    "rates history",
    "rates history --json",
    "rates simulate --set pools.main.tariff_per_kwh=0.31 --cloud 2.50",
    "rates simulate --set nonsense",
    "rates simulate --cloud dear",
    "accounts list",
    "accounts list -A physics --json",
    "accounts list -A physic",
    "audit --month 2026-10",
    "audit --json",
    "reconcile -S 2026-10-01 -E 2026-11-01",
    "reconcile --json",
    "config history",
    "config history --json",
    "access log",
    "access log -u alice --json",
]  # fmt: skip


@pytest.fixture
def known(unpriced: Run, tmp_path: Path) -> Run:
    """A site with an unpriced job, one that hooks alone know, published rates, and facts of accounts."""
    config = tmp_path / "gpucost.toml"
    config.write_text(config.read_text() + '[[accounts]]\nname = "physics"\ncontact = "chair@example.org"\n')
    alone = hook("prolog", 1_791_187_300_000 - T0, cluster="t", job_id=77, user="carol", account="bio")
    with open_ledger(tmp_path / "ledger.db") as ledger:
        with ledger.transaction() as db:
            ingest.add_hooks(db, [alone])
        projector.bring_up_to_date(ledger, {"a100": 4})
    assert unpriced("token", "issue", "--user", "alice").exit_code == 0
    assert unpriced("rates", "publish", "--from", "2026-10-15", "--why", "a contract").exit_code == 0
    return unpriced


@pytest.fixture
def collector(known: Run, tmp_path: Path) -> Collector:
    me = Viewer(pwd.getpwuid(os.getuid()).pw_name if os.getuid() else "", everyone=True, costs=True)
    return Collector(tmp_path / "gpucost.toml", tmp_path / "ledger.db", me, lambda: options.now_ms())


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory without config and ledger, and an environment that names none."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.chdir(place)
    for name in ("GPUCOST_CONFIG", "GPUCOST_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setattr(asking, "SOCKET", place / "usual.sock")
    monkeypatch.setattr(sys.modules["slurm_gpucost.settings.load"], "DEFAULT_PATH", place / "none.toml")
    return place


def test_the_same_is_printed(known: Run, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One server for all of them; what differs is told with its command."""
    local = {line: known(*shlex.split(line)) for line in COMMANDS}
    assert {result.exit_code for result in local.values()} == {0, 1, 2}
    monkeypatch.setenv("GPUCOST_CONFIG", str(tmp_path / "none.toml"))
    with serving(collector, tmp_path / "c.sock") as socket, serving(collector) as port:
        for number, line in enumerate(COMMANDS):
            shown = known(*shlex.split(line), "--collector", (socket, port)[number % 2])
            here = local[line]
            if line == "status":
                here.stdout_bytes = here.stdout_bytes.replace(b"Ledger ledger.db", b"Ledger " + bytes(collector.ledger))
            assert (shown.stdout, shown.exit_code) == (here.stdout, here.exit_code), line
            assert shown.stderr == here.stderr, line
    assert len(collector.asked) > len(COMMANDS), "some answers had several pages"


def test_all_pages_of_an_answer_are_fetched(known: Run, collector: Collector, tmp_path: Path) -> None:
    with serving(collector, tmp_path / "c.sock") as url:
        shown = known("jobs", "-a", "-S", "2026-10-01", "-n", "-P", "-o", "JobID", "--collector", url)
    assert shown.stdout.split() == ["11", "12", "20_7", "14", "77"]
    assert [content.keys() for _, content in collector.asked] == [{"params", "limit"}, {"cursor"}, {"cursor"}]


def test_who_asks_is_whom_the_collector_takes_him_for(
    known: Run, collector: Collector, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.viewer = Viewer("bob")
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    with serving(collector, elsewhere / "c.sock") as url:
        monkeypatch.setenv("GPUCOST_COLLECTOR", url)
        mine = known("jobs", "-S", "2026-10-01", "-o", "JobID", "-n", "-P")
        assert (mine.stdout.split(), mine.stderr) == (["12", "20_7", "14"], "")
        every = known("jobs", "-a", "-S", "2026-10-01", "-o", "JobID", "-n", "-P")
        assert every.stdout == mine.stdout and "these are your own jobs" in every.stderr
        refused = known("jobs", "-u", "alice")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith("gpucost: you may see your own jobs")
        assert known("status").stdout.startswith("Witnesses\n")
        assert known("audit").exit_code == 1
        assert known("rates", "history").stdout.count("published 2026-11-23") == 1
        assert " by " not in known("rates", "history").stdout


@pytest.fixture
def marked(known: Run, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Which of several ledgers a command asked: each has another number of jobs."""

    def run(*words: str) -> str:
        result = known("jobs", "-a", "-S", "2026-10-01", "-n", "-P", "-o", "JobID", *words)
        return result.stderr or {5: "config", 4: "collector", 3: "file"}.get(result.stdout.count("\n"), result.stdout)

    yield run


def copy(source: Path, target: Path, *gone: int) -> Path:
    db = sqlite3.connect(target)
    with sqlite3.connect(source) as whole:
        whole.backup(db)
    with db:
        db.executemany("DELETE FROM attempt WHERE job_id = ?", [(one,) for one in gone])
    db.close()
    return target


def test_the_order_in_which_it_is_looked_for(
    marked: Callable[..., str], collector: Collector, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, whole = collector.config, collector.ledger
    config.write_text(config.read_text().replace('path = "ledger.db"', f'path = "{whole}"'))
    config.write_text(config.read_text().replace("/run/gpucost/collector.sock", str(elsewhere / "own.sock")))
    collector.ledger = copy(whole, elsewhere / "three.db", 11)
    file = str(copy(whole, elsewhere / "two.db", 11, 12))
    monkeypatch.setenv("GPUCOST_CONFIG", str(config))
    assert marked() == "config"
    with serving(collector) as url:
        config.write_text(config.read_text().replace('# url = "..."', f'url = "{url}"'))
        assert marked() == "collector", "the configured URL"
        assert marked("--ledger", file) == "file"
        monkeypatch.setenv("GPUCOST_LEDGER", file)
        assert marked() == "file"
        assert marked("--collector", url) == "collector", "what is typed goes before the environment"
        assert "give one of the two" in marked("--collector", url, "--ledger", file)
        monkeypatch.delenv("GPUCOST_LEDGER")
        monkeypatch.setenv("GPUCOST_COLLECTOR", url)
        assert marked() == "collector"
        monkeypatch.delenv("GPUCOST_COLLECTOR")
    assert "the collector cannot be asked (Connection refused)" in marked(), (
        "a collector that is named is not passed over"
    )
    with serving(collector, elsewhere / "own.sock"):
        assert marked() == "collector", "the socket before the URL"
    assert "cannot be asked" in marked(), "a socket that nobody serves is passed over"


def test_a_login_node_needs_no_more_than_where_the_collector_is(
    marked: Callable[..., str], collector: Collector, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = elsewhere / "login.toml"
    monkeypatch.setenv("GPUCOST_CONFIG", str(config))
    with serving(collector) as url:
        config.write_text(f'[collector]\nurl = "{url}"\n')
        assert marked() == "config"
        config.write_text('[collector]\nurl = "ledger.example.org"\n')
        assert "login.toml: collector.url: ledger.example.org: write https://HOST:PORT" in marked()
        config.write_text('[collector]\nulr = "https://ledger.example.org"\n')
        assert "login.toml: collector.ulr: is no setting; did you mean url?" in marked()
    config.write_text("[collector]\n")
    assert "login.toml: collector: none answers at " in marked() and "no url is given" in marked()
    with serving(collector, elsewhere / "usual.sock"):
        config.write_text(f'[collector]\nsocket = "{elsewhere}/usual.sock"\n')
        assert marked() == "config"
        config.unlink()
        assert "there is no config" in marked(), "a config that was named must be there"
        monkeypatch.delenv("GPUCOST_CONFIG")
        assert marked() == "config", "without one the usual socket is asked"


def test_a_trials_config_is_not_answered_from_the_hosts_collector(
    marked: Callable[..., str], collector: Collector, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, whole = collector.config, collector.ledger
    config.write_text(config.read_text().replace('path = "ledger.db"', f'path = "{whole}"'))
    config.write_text(config.read_text().replace("/run/gpucost/collector.sock", str(elsewhere / "usual.sock")))
    collector.ledger = copy(whole, elsewhere / "three.db", 11)
    monkeypatch.setenv("GPUCOST_CONFIG", str(config))
    with serving(collector, elsewhere / "usual.sock"):
        assert marked() == "config"
        monkeypatch.setattr(os, "access", lambda path, mode: path != whole)
        assert marked() == "collector", "whoever may not read the ledger asks"
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        assert marked() == "collector", "nor the config"


def test_a_token_goes_along_where_nobody_can_read_it(
    known: Run, collector: Collector, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = elsewhere / ".config" / "gpucost" / "token"
    token.parent.mkdir(parents=True)
    token.write_text("abc123\n")
    token.chmod(0o600)
    with serving(collector) as url, serving(collector, elsewhere / "c.sock") as socket:
        for at in (url, socket):
            assert known("status", "--collector", at).exit_code == 0
        sent = [headers.get("Authorization") for headers in collector.headers]
        assert sent == ["Bearer abc123", None], "over the socket the kernel says who asks"
        token.chmod(0o640)
        assert "others may read this token; chmod 600 it" in known("status", "--collector", url).stderr
        monkeypatch.setenv("GPUCOST_TOKEN_FILE", str(elsewhere / "missing"))
        assert "missing: the token cannot be read" in known("status", "--collector", url).stderr
        (elsewhere / "empty").touch(0o600)
        monkeypatch.setenv("GPUCOST_TOKEN_FILE", str(elsewhere / "empty"))
        assert "empty: is no token" in known("status", "--collector", url).stderr
    assert "goes over https only" in known("status", "--collector", "http://ledger.example.org:6843").stderr


def test_without_a_token_munge_says_who_asks(
    known: Run, collector: Collector, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def respond(path: str, content: dict[str, Any], headers: dict[str, str]) -> Response:
        kind, _, credential = headers.get("Authorization", "").partition(" ")
        if kind != "MUNGE":
            return 401, {}, b'{"error": "say who you are"}'
        request = Request("POST", path, headers["Host"], json.dumps(content).encode())
        told.append(by_munge(load(collector.config), credential, request, "127.0.0.1").user)
        return collector(path, content, headers)

    with Munged() as munged, serving(respond) as url:
        login = elsewhere / "login.toml"
        login.write_text(f'[collector]\nurl = "{url}"\n[access]\nmunge_socket = "{munged.socket}"\n')
        config = collector.config.read_text()
        collector.config.write_text(config.replace("[access]", f'[access]\nmunge_socket = "{munged.socket}"'))
        shown = known("--config", str(login), "jobs", "-a", "-S", "2026-10-01", "-n", "-P", "-o", "JobID")
        assert shown.stdout.split() == ["11", "12", "20_7", "14", "77"], shown.stderr
        assert told == [pwd.getpwuid(os.getuid()).pw_name] * 3, "a credential for each page"
    with serving(respond) as url:
        refused = known("--config", str(login), "status", "--collector", url)
        assert refused.exit_code == 1
        assert refused.stderr.startswith("gpucost: say who you are; MUNGE: ")


@pytest.mark.parametrize(
    "url",
    ["ledger:6843", "ftp://ledger", "unix:relative", "https://", "http://a:b@c", f"unix:/{'x' * 120}", "http://[::1"],
)
def test_what_is_no_url_is_said(site: Run, url: str) -> None:
    result = site("status", "--collector", url)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"gpucost: --collector {url}: ")


def test_nothing_of_services_is_loaded_to_ask_a_collector(known: Run, collector: Collector, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.argv = ['gpucost', *sys.argv[1:]]\n"
        "from slurm_gpucost.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = ('sqlite3', 'slurm_gpucost.services', 'slurm_gpucost.ledger')\n"
        "print('LOADED', *[m for m in heavy if m in sys.modules])\n"
    )
    with serving(collector, tmp_path / "c.sock") as url:
        words = ["jobs", "-u", "bob", "-S", "2026-10-01", "--collector", url]
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "GPUCOST_CONFIG": str(tmp_path / "none.toml")},
        )  # fmt: skip
    assert done.stdout.splitlines()[-1].strip() == "LOADED", done.stdout + done.stderr
    assert "bob" in done.stdout
