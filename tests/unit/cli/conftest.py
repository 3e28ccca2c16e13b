"""A site in a directory of its own: config by ``init``, ledger by ``backfill --from-file``, clock in our hands."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner, Result

from slurm_gpucost.cli import options
from slurm_gpucost.cli.app import app

Run = Callable[..., Result]
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 14, 5, 30, tzinfo=BERLIN)
INIT = [
    "--timezone", "Europe/Berlin", "--currency", "EUR", "--cluster", "t", "--gpu", "a100=500x12000", "--shards", "4",
]  # fmt: skip
HEADER = "JobIDRaw|JobID|User|Account|Partition|State|Submit|Start|End|ElapsedRaw|NodeList|AllocTRES\n"
MORNING = "2026-10-05T10:00:00|2026-10-05T10:00:05"
SAVED = (
    f"{HEADER}11|11|alice|physics|main|COMPLETED|{MORNING}|2026-10-05T12:00:05|7200|n1|cpu=2,gres/gpu=2,gres/gpu:a100=2\n"
    f"12|12|bob|physics|main|CANCELLED by 1000|{MORNING}|2026-10-05T12:00:06|7201|n1|cpu=2,gres/shard=3\n"
    "13|20_7|bob|bio|debug|FAILED|2026-10-31T23:30:00|2026-10-31T23:30:00|2026-11-01T00:30:00|3600|n2|gres/gpu:a100=1\n"
)
"""The last one is a task of an array that ran over the end of October."""
UNPRICED = f"{HEADER}14|14|bob|bio|main|COMPLETED|{MORNING}|2026-10-05T12:00:05|7200|n9|gres/gpu:h300=1\n"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "now_ms", lambda: int(NOW.timestamp() * 1000) + 789)
    for name in ("GPUCOST_CONFIG", "GPUCOST_LEDGER", "GPUCOST_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def gpucost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def run(*words: str, input: str | None = None) -> Result:
        return runner.invoke(app, list(words), input=input)

    return run


@pytest.fixture
def made(gpucost: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same with a config, named by the environment."""
    result = gpucost("init", "--config", "gpucost.toml", "--ledger", "ledger.db", "--spool", "spool", *INIT)
    assert result.exit_code == 0, result.output
    monkeypatch.setenv("GPUCOST_CONFIG", str(tmp_path / "gpucost.toml"))
    return gpucost


@pytest.fixture(scope="session")
def october(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A ledger with three jobs of October, made once by the command itself."""
    place = tmp_path_factory.mktemp("october")
    where = ["--config", str(place / "g.toml"), "--ledger", str(place / "ledger.db")]
    runner = CliRunner()
    assert runner.invoke(app, [*where, "init", *INIT]).exit_code == 0
    words = ["backfill", "--from-file", "-", "--observed-at", "2026-11-23T14:00"]
    result = runner.invoke(app, [*where, *words], input=SAVED)
    assert result.exit_code == 0, result.output
    assert [p.name for p in place.glob("ledger.db-*")] in ([], ["ledger.db-writer"]), "all of it is in one file"
    return (place / "ledger.db").read_bytes()


@pytest.fixture
def site(made: Run, october: bytes, tmp_path: Path) -> Run:
    """The same with three jobs of October in the ledger."""
    (tmp_path / "ledger.db").write_bytes(october)
    return made


@pytest.fixture
def sacct(made: Run, tmp_path: Path) -> Callable[[str], None]:
    """Put a shell script in sacct's place."""

    def install(script: str) -> None:
        path = tmp_path / "sacct"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        config = tmp_path / "gpucost.toml"
        config.write_text(config.read_text().replace('command = "sacct"', f'command = "{path}"'))

    return install


@pytest.fixture
def ask(site: Run) -> Callable[..., Any]:
    """What the command prints as JSON."""

    def run(*words: str) -> Any:
        result = site(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture
def unpriced(site: Run) -> Run:
    """The site with a fourth job, on a kind of GPU that the config does not know."""
    assert site("backfill", "--from-file", "-", input=UNPRICED).exit_code == 0
    return site


@pytest.fixture
def saved() -> str:
    """What sacct printed of three jobs of October."""
    return SAVED
