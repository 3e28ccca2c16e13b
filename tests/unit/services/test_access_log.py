"""Who looked at costs and acted for whom stands in the chained log, and who is concerned can read it."""

from __future__ import annotations

from pathlib import Path

from slurm_gpucost.ledger import changes
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services import tokens
from slurm_gpucost.services.access_log import acted_on, looked, note
from slurm_gpucost.services.callers import Caller
from slurm_gpucost.sources.identity import Identity

CORA = Caller("cora", 2004, "192.0.2.9", "munge", True)
OLGA = Identity("olga", 2005, "ledger", "/dev/pts/1")


def test_everybody_reads_what_concerns_him(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db") as ledger:
        who = Identity(CORA.user, CORA.uid, CORA.host, CORA.via)
        with ledger.transaction() as db:
            looked(db, who, "rates_explain", {"month": "2026-10"}, 1_000)
            note(db, OLGA, {"did": "held", "job": 7}, 2_000, users=["ann", "ben"], why="asked by phone")
        made = tokens.issue(ledger, "ann", 30, OLGA, "", 3_000)
        tokens.revoke(ledger, None, "ann", OLGA, "left", 4_000)
        db = ledger.connection
        assert [(row["did"], row["login"], row["why"]) for row in acted_on(db, "ann")] == [
            ("held", "olga", "asked by phone"), ("token issued", "olga", ""), ("token revoked", "olga", "left"),
        ]  # fmt: skip
        assert [row["did"] for row in acted_on(db, "ben")] == ["held"]
        (look,) = acted_on(db, "cora")
        assert look == {
            "seq": 1, "at": 1, "login": "cora", "uid": 2004, "host": "192.0.2.9", "terminal": "munge", "did": "looked",
            "query": "rates_explain", "params": {"month": "2026-10"}, "users": [], "why": "",
        }  # fmt: skip
        assert [row["seq"] for row in acted_on(db, None)] == [1, 2, 3, 4]
        assert acted_on(db, "an") == acted_on(db, "%") == []
        assert made["token"] not in str(acted_on(db, None)), "a token stands in no log"
        assert changes.first_broken(db) is None
