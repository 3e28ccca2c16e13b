"""docs/ledger.md says of every table and column what it is; its questions work in SQLite."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from slurm_gpucost.domain.units import HOUR_MS, OPEN_END_MS
from slurm_gpucost.ledger import ingest
from slurm_gpucost.ledger.projector import project_dirty
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.sources.accounting_text import make_parser

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
SAVED = """\
JobIDRaw|Submit|Start|End|ElapsedRaw|Suspended|State|User|Account|AllocTRES
4711|1790845200|1790845205|1790852405|7200|00:00:00|COMPLETED|ann|physics|gres/gpu:a100=2,gres/gpu=2
4712|1790845200|1790845205|1790852405|3600|01:00:00|COMPLETED|ann|physics|gres/gpu:a100=1,gres/gpu=1
4713|1790845200|1790845205|1790859605|14400|00:00:00|FAILED|ben|physics|gres/shard:a100=3,gres/shard=3
"""


def described() -> dict[str, dict[str, tuple[str, str]]]:
    """Table -> column -> (meaning, unit), as the page has them."""
    tables: dict[str, dict[str, tuple[str, str]]] = {}
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        name = re.match(r"`(\w+)`\n", section)
        assert name, section[:40]
        body = re.split(r"^## ", section, flags=re.MULTILINE)[0]
        rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", body, flags=re.MULTILINE)
        assert len(rows) == len({row[0] for row in rows}), f"{name[1]}: a column stands twice"
        tables[name[1]] = {column: (meaning, unit) for column, meaning, unit in rows}
    return tables


def questions() -> list[str]:
    return re.findall(r"^```sql\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    return path


@pytest.fixture
def db(ledger: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(ledger)
    yield connection
    connection.close()


def test_the_page_names_exactly_the_tables_and_columns_there_are(db: sqlite3.Connection) -> None:
    names = db.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite@_%' ESCAPE '@'"
    )
    real = {name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")] for (name,) in names.fetchall()}
    told = {name: list(columns) for name, columns in described().items()}
    assert told == real


def test_units_fit_the_types_of_the_columns(db: sqlite3.Connection) -> None:
    kinds = {
        "INTEGER": r"(ms|mJ|percent ms|MiB ms|C ms|count|flag|(bytes|MiB|C) \(count\))( or NULL)?",
        "TEXT": r"text( or NULL)?",
        "BLOB": r"((0 or )?(\d+ )?bytes|as there,?)( or NULL)?",
    }
    for table, columns in described().items():
        if table in ("device", "lease"):  # views have no types of their own; their columns are those of tables
            continue
        for _, column, kind, not_null, _, key in db.execute(f"PRAGMA table_info({table})"):
            meaning, unit = columns[column]
            assert meaning.strip(), f"{table}.{column}"
            assert re.fullmatch(kinds[kind], unit), f"{table}.{column} is {kind}, the page says {unit}"
            assert re.search(r"\bms\b", unit) or not column.endswith("_ms"), f"{table}.{column}: {unit}"
            if table != "_sqlite_migrations":
                assert ("or NULL" in unit) == (not not_null and not key), f"{table}.{column}: NULL or not?"


def test_the_arithmetic_of_the_bounds() -> None:
    device_ms = 20_000 * 8_760 * HOUR_MS
    most = 2**63 - 1
    assert f"{device_ms:,}" in PAGE
    assert f"{most:,}" in PAGE
    assert f"{most // device_ms:,} shards" in PAGE
    energy_mj = 20_000 * 1_000 * 1_000 * 8_760 * 3_600
    assert f"{energy_mj:,}" in PAGE
    assert energy_mj < most
    assert f"{most // (288 * 1024 * 8_760 * HOUR_MS)} devices" in PAGE
    assert f"{OPEN_END_MS:,}" in PAGE


def test_there_are_questions() -> None:
    assert len(questions()) >= 7


@pytest.mark.parametrize("question", questions())
def test_every_question_works_on_an_empty_ledger(db: sqlite3.Connection, question: str) -> None:
    assert db.execute(question).fetchall() == []


def test_the_first_question_answers_rightly(ledger: Path) -> None:
    header, *rows = SAVED.splitlines()
    parse = make_parser(header.split("|"), cluster="alpha", zone=ZoneInfo("UTC"), observed_at_ms=0, current=False)
    with open_ledger(ledger) as opened:
        with opened.transaction() as db:
            ingest.add_accounting(db, [row for row in (parse(line.split("|")) for line in rows) if row])
        project_dirty(opened, {"a100": 4})
        assert opened.connection.execute(questions()[0]).fetchall() == [
            ("physics", "ann", "a100", 5.0),
            ("physics", "ben", "a100", 3.0),
        ]


def test_named_questions_run_in_the_shell_as_the_page_shows(ledger: Path) -> None:
    shell = shutil.which("sqlite3")
    if not shell:
        pytest.skip("NOT RUN: the sqlite3 shell is not installed (Debian package sqlite3)")
    block = re.search(r"^```sqlite3\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert block
    done = subprocess.run(
        [shell, "-readonly", str(ledger)], input=block[1], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
