"""Every named question, on an empty ledger; and the one that money is made of, against a brute-force sum."""

from __future__ import annotations

from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.domain.evidence import AccountingRow, Poll
from slurm_gpucost.ledger import asked, ingest, projector, queries
from slurm_gpucost.ledger.queries import ask
from slurm_gpucost.ledger.store import Ledger, open_ledger, open_readonly
from tests.unit.builders import T0, accounting

NAMES = sorted(f.name[:-4] for f in resources.files(queries).iterdir() if f.name.endswith(".sql"))
NONE = dict.fromkeys(["devices", "clusters", "users", "accounts", "job_ids", "states", "partitions", "nodes", "user"])


def test_there_are_questions() -> None:
    assert {"attempts", "leases", "billable_time", "last_polls"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_question_has_an_answer_on_an_empty_ledger(tmp_path: Path, name: str) -> None:
    open_ledger(tmp_path / "ledger.db").close()
    db = open_readonly(tmp_path / "ledger.db")
    rounding = {
        "shorter_ms": 1,
        "suspended": 1,
        "outages": "[]",
        "holders": "[]",
        "without": "[]",
        "step_ms": 1,
        "minimum_ms": 0,
    }
    rows = ask(
        db,
        name,
        start_ms=0,
        end_ms=T0,
        now_ms=T0,
        settled_ms=0,
        held=0,
        among=1,
        cluster="c",
        at_ms=T0,
        **NONE,
        **rounding,
    )
    assert not any(value for row in rows for value in row.values())
    assert "--" in queries.text_of(name).splitlines()[0], "it says what it asks"
    db.close()


@pytest.mark.parametrize("name", ["nothing", "../store", "__init__", "attempts.sql", ""])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(KeyError):
        queries.text_of(name)


jobs = st.lists(
    st.tuples(
        st.integers(0, 400),  # start
        st.one_of(st.none(), st.integers(0, 500)),  # length; None: runs
        st.integers(0, 60),  # suspended
        st.integers(1, 4),
        st.sampled_from(["ann", "bob"]),
    ),
    min_size=1,
    max_size=8,
)


def rows_of(drawn: list[tuple[int, int | None, int, int, str]]) -> list[AccountingRow]:
    return [
        accounting(
            start,
            None if length is None else start + length,
            suspended=min(suspended, length) if length is not None else 0,
            tres=f"gres/gpu:a100={gpus},gres/gpu={gpus}",
            user=user,
            job_id=number,
            observed_at_ms=T0 + 450_000,
        )
        for number, (start, length, suspended, gpus, user) in enumerate(drawn, 1)
    ]


def fill(ledger: Ledger, rows: list[AccountingRow], polled: int | None) -> None:
    with ledger.transaction() as db:
        ingest.add_accounting(db, rows)
        if polled is not None:
            asked.add_poll(db, Poll("sacct", "c", T0 + polled * 1000, None, None, 0, 0, 1, 1, ""))
            for worthless in [
                ("sacct", "c", 1, 0),
                ("sacct", "c", 0, 1),
                ("scontrol", "c", 1, 1),
                ("sacct", "d", 1, 1),
            ]:
                witness, cluster, ok, current = worthless
                asked.add_poll(db, Poll(witness, cluster, T0 + 9_000_000, None, None, 0, 0, ok, current, ""))
    projector.bring_up_to_date(ledger, {})


def brute_force(rows: list[AccountingRow], low: int, high: int, polled: int | None) -> dict[str, int]:
    """GPU-seconds by user: every second of every GPU is looked at."""
    total: Counter[str] = Counter()
    for row in rows:
        assert row.start_ms is not None
        start = (row.start_ms - T0) // 1000
        if row.end_ms is None:
            stop = max(450, polled or 0)
        else:
            assert row.elapsed_ms is not None
            stop = start + row.elapsed_ms // 1000
        gpus = int(row.alloc_tres.rpartition("=")[2])
        total[row.user] += gpus * sum(low <= second < high for second in range(start, stop))
    return {user: seconds for user, seconds in total.items() if seconds}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledgers")


@settings(max_examples=60, deadline=None)
@given(jobs, st.integers(-50, 900), st.integers(0, 700), st.one_of(st.none(), st.integers(400, 900)))
def test_billable_time_is_every_second_of_the_window(
    folder: Path, drawn: Any, low: int, length: int, polled: int | None
) -> None:
    rows = rows_of(drawn)
    path = folder / f"{len(list(folder.iterdir()))}.db"
    with open_ledger(path) as ledger:
        fill(ledger, rows, polled)
        found: Counter[str] = Counter()
        for row in ask(
            ledger.connection,
            "billable_time",
            start_ms=T0 + low * 1000,
            end_ms=T0 + (low + length) * 1000,
            held=0,
            nodes=None,
            among=1,
        ):
            assert row["quantity"] % 1000 == 0
            if row["suspended"]:
                continue
            found[row["user"]] += row["quantity"] // 1000
    assert {user: n for user, n in found.items() if n} == brute_force(rows, low, low + length, polled)
