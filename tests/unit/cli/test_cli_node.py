"""``gpucost node``: tokens are shown once, kept as digests, and each change is in the log with who made it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from typer.testing import Result

from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.ledger.tokens import Who, owner
from slurm_gpucost.services.intake import take_batches
from tests.unit.builders import T0
from tests.unit.uplinked import Node, own_hook

Run = Callable[..., Result]
WHO = Who("t", "n1")


def query(tmp_path: Path, words: str) -> list[Any]:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        return db.execute(words).fetchall()


def send(tmp_path: Path, journal: str) -> int:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        node = Node(WHO, [own_hook(cluster="t")], journal)
        return take_batches(ledger, [node.send()], T0)[0].status


def test_tokens_are_shown_once_and_are_good(made: Run, tmp_path: Path) -> None:
    result = made("node", "enroll", "n[1-2]", "login")
    assert result.exit_code == 0, result.output
    pairs = [line.split() for line in result.stdout.splitlines()]
    assert [name for name, _ in pairs] == ["n1", "n2", "login"]
    assert len({token for _, token in pairs}) == 3 and all(len(token) == 43 for _, token in pairs)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        assert [owner(db, token) for _, token in pairs] == [Who("t", name) for name, _ in pairs]
    whole = (tmp_path / "ledger.db").read_bytes()
    assert not any(token.encode() in whole for _, token in pairs), "it is kept nowhere"


def test_json_and_another_cluster(made: Run) -> None:
    (row,) = json.loads(made("node", "enroll", "n1", "--cluster", "beta", "--json").stdout)
    assert (row["cluster"], row["node"], len(row["token"])) == ("beta", "n1", 43)


def test_older_tokens_stay_good_unless_asked(made: Run, tmp_path: Path) -> None:
    good = "SELECT count(*) FROM node_token WHERE revoked_ms IS NULL AND node = 'n1'"
    made("node", "enroll", "n1")
    made("node", "enroll", "n1", "n2")
    assert query(tmp_path, good) == [(2,)]
    made("node", "enroll", "n1", "--revoke-others")
    assert query(tmp_path, good) == [(1,)]
    assert query(tmp_path, good.replace("n1", "n2")) == [(1,)]


def test_tokens_in_files_of_their_own(made: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    result = made("node", "enroll", "n[1-2]", "--directory", "out")
    assert result.stdout.splitlines() == ["n1 out/n1.token", "n2 out/n2.token"]
    path = tmp_path / "out" / "n1.token"
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        assert owner(db, path.read_text().strip()) == WHO


def test_where_a_file_cannot_be_written_no_token_is_given(made: Run, tmp_path: Path) -> None:
    assert made("node", "enroll", "n1", "--directory", "nowhere").exit_code == 1
    (tmp_path / "n2.token").write_text("mine")
    result = made("node", "enroll", "n[1-3]", "--directory", ".")
    assert result.exit_code == 1 and "n2.token: is there already" in result.stderr
    assert {path.name for path in tmp_path.glob("*.token")} == {"n2.token"}
    assert query(tmp_path, "SELECT count(*) FROM node_token") == [(0,)]
    assert query(tmp_path, "SELECT count(*) FROM change_log") == [(0,)]


def test_names_that_are_none(made: Run) -> None:
    for word in ("n[1-", "../n1", "n 1", "", "n[1-2]/x", "-"):
        result = made("node", "enroll", "--", word)
        assert result.exit_code == 2, word
        assert len(result.stderr.splitlines()) == 1 and "write nodes like" in result.stderr
    assert made("node", "enroll", "n1", "--cluster", "a/b").exit_code == 2


def test_each_change_is_in_the_log(made: Run, tmp_path: Path) -> None:
    made("node", "enroll", "n[1-2]", "--why", "new rack")
    made("node", "revoke", "n2")
    rows = query(tmp_path, "SELECT subject, what, why, uid FROM change_log ORDER BY seq")
    assert [(row[0], json.loads(row[1]), row[2]) for row in rows] == [
        ("nodes", {"enrolled": [["t", "n1"], ["t", "n2"]], "revoked_tokens": 0}, "new rack"),
        ("nodes", {"revoked": [["t", "n2"]]}, ""),
    ]


def test_revoke(made: Run, tmp_path: Path) -> None:
    made("node", "enroll", "n[1-2]")
    result = made("node", "revoke", "n[1-3]")
    assert result.exit_code == 1 and "n3: no such node has a good token; nothing was changed" in result.stderr
    assert made("node", "revoke", "n1").stdout == "n1: 1 revoked\n"
    assert query(tmp_path, "SELECT node FROM node_token WHERE revoked_ms IS NULL") == [("n2",)]
    assert made("node", "revoke", "n1").exit_code == 1


def test_a_waiting_journal_is_accepted_and_the_other_one_waits_in_turn(made: Run, tmp_path: Path) -> None:
    made("node", "enroll", "n1")
    assert send(tmp_path, "a" * 32) == 200
    result = made("node", "enroll", "n1", "--accept")
    assert result.exit_code == 1 and "none waits" in result.stderr and "a" * 32 in result.stderr
    assert send(tmp_path, "b" * 32) == 403
    assert "b" * 32 in made("node", "enroll", "n1", "--accept").stdout
    assert (send(tmp_path, "b" * 32), send(tmp_path, "a" * 32)) == (200, 403), "the first one still sends"
    assert made("node", "enroll", "n1", "--accept", "cccccc").exit_code == 1
    told = json.loads(made("node", "enroll", "n1", "--accept", "aaaaaa", "--json").stdout)
    assert told == {"cluster": "t", "node": "n1", "journal": "a" * 32}
    assert (send(tmp_path, "b" * 32), send(tmp_path, "a" * 32)) == (403, 200)
    assert query(tmp_path, "SELECT count(*) FROM node_token") == [(1,)], "accepting gives no token"


def test_accept_takes_one_node(made: Run) -> None:
    for words in (["n[1-2]"], ["n1", "a" * 32, "x"], ["n1", "--directory", "."], ["n1", "--revoke-others"]):
        result = made("node", "enroll", *words, "--accept")
        assert result.exit_code == 2 and "--accept" in result.stderr


def test_list(made: Run, tmp_path: Path) -> None:
    made("node", "enroll", "n[1-2]")
    send(tmp_path, "a" * 32)
    made("node", "revoke", "n1")
    lines = made("node", "list").stdout.splitlines()
    assert lines[0].split()[:4] == ["Cluster", "Node", "State", "LastHeard"]
    assert "taken, no token" in lines[2] and "a" * 32 in lines[2]
    assert lines[3].split()[:4] == ["t", "n2", "enrolled", "never"]
    rows = json.loads(made("node", "list", "--json").stdout)
    assert rows == json.loads(made("status", "--json").stdout)["nodes"]
    assert "enrolled: 1" in made("status").stdout


def test_list_of_none(site: Run) -> None:
    result = site("node", "list")
    assert (result.exit_code, result.stdout) == (0, "") and "no node is enrolled" in result.stderr
