"""`gpucost token`: shown once, listed without itself, revoked by id or by user."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from slurm_gpucost.services import tokens

Run = Callable[..., Result]
Ask = Callable[..., Any]


def test_a_token_is_shown_once_and_works(site: Run, ask: Ask, tmp_path: Path) -> None:
    result = site("token", "issue", "--user", "alice", "--days", "30", "--why", "no MUNGE")
    assert result.exit_code == 0, result.output
    token = result.stdout.strip()
    (listed,) = ask("token", "list")
    assert (listed["user"], listed["state"], listed["revoked"]) == ("alice", "good", None)
    assert listed["expires"] - listed["issued"] == 30 * 86_400
    assert listed["id"] in result.stderr and token not in result.stderr
    shown = site("token", "list").stdout
    assert "alice" in shown and "good" in shown and token not in shown
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        assert tokens.user_of(db, token, listed["issued"] * 1000 + 1000) == "alice"
    db.close()
    assert token.encode() not in b"".join(file.read_bytes() for file in tmp_path.glob("ledger.db*"))


def test_it_is_one_s_own_if_nothing_is_said(site: Run, ask: Ask) -> None:
    made = ask("token", "issue")
    assert made["user"] == made["issued_by"]
    assert made["expires"] - made["issued"] == 90 * 86_400


def test_revoked_by_id_or_all_of_a_user(site: Run, ask: Ask) -> None:
    first, second, third = (ask("token", "issue", "-u", user) for user in ("alice", "bob", "bob"))
    assert first["id"] in site("token", "revoke", first["id"]).stdout
    assert {row["id"] for row in ask("token", "revoke", "--user", "bob")} == {second["id"], third["id"]}
    assert {row["state"] for row in ask("token", "list")} == {"revoked"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("issue", "--days", "0"), "--days 0"),
        (("issue", "--days", "400"), "1 to 366 days"),
        (("issue", "-u", "a b"), "is no user's name"),
        (("revoke",), "name either"),
        (("revoke", "abc", "-u", "bob"), "name either"),
        (("revoke", "abc"), "abc: no token with this id is good"),
        (("revoke", "-u", "zoe"), "gpucost token list"),
    ],
)
def test_mistakes(site: Run, words: tuple[str, ...], said: str) -> None:
    result = site("token", *words)
    assert result.exit_code == 2
    assert said in result.stderr and "Traceback" not in result.output
