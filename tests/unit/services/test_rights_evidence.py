"""What slurmdbd says of rights, answer after answer: only changes are kept, losses among them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.services.engine import Engine
from slurm_gpucost.services.questions import RIGHTS_EVERY_SECONDS
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources.slurm_rights import Association
from tests.unit.builders import script
from tests.unit.services.rights_site import NOW, hear, site, told
from tests.unit.services.test_engine import count, until


def rows(ledger: Ledger, columns: str, table: str, where: str) -> list[tuple[object, ...]]:
    return ledger.connection.execute(f"SELECT {columns} FROM {table} WHERE {where} ORDER BY 1, 2").fetchall()


def test_changes_are_kept_with_when_they_were_said(tmp_path: Path) -> None:
    settings = site(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        first = told()
        assert hear(ledger, settings, NOW, first) == 3 + 2 + len(first.associations) + 1
        assert hear(ledger, settings, NOW + 1, first) == 0
        moved = (first.associations - {("biology", "", "science"), ("arts", "carol", "")}) | {
            Association("biology", "", "arts")
        }
        later = first._replace(
            levels={"root": "Administrator", "adam": "Operator"},
            coordinators=frozenset({("physics", "ann"), ("root", "rosa")}),
            associations=moved,
            private_data=frozenset({"usage", "jobs"}),
        )
        assert hear(ledger, settings, NOW + 2, later) == 2 + 2 + 2 + 1
        assert hear(ledger, settings, NOW + 3, later) == 0
        since = f"observed_at_ms > {NOW}"
        assert rows(ledger, "user, admin_level", "user_report", since) == [("adam", "Operator"), ("olga", None)]
        assert rows(ledger, "user, account, coordinates", "coordinator_report", since) == [
            ("ann", "physics", 1), ("carol", "physics", 0),
        ]  # fmt: skip
        assert rows(ledger, "user, account, parent, listed", "association_report", since) == [
            ("", "biology", "arts", 1), ("carol", "arts", "", 0),
        ]  # fmt: skip
        assert rows(ledger, "observed_at_ms, private_data", "privacy_report", "1") == [
            (NOW, ""), (NOW + 2, "jobs,usage"),
        ]  # fmt: skip
        assert count(ledger, "source_poll", "witness = 'rights' AND ok = 1 AND current = 1") == 4


def test_what_was_lost_can_come_back(tmp_path: Path) -> None:
    settings = site(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        hear(ledger, settings, NOW)
        hear(ledger, settings, NOW + 1, told(levels={"root": "Administrator"}))
        assert hear(ledger, settings, NOW + 2) == 2
        levels = rows(ledger, "observed_at_ms, admin_level", "user_report", "user = 'olga'")
        assert levels == [(NOW, "Operator"), (NOW + 1, None), (NOW + 2, "Operator")]


def asking(tmp_path: Path) -> Settings:
    """A sacctmgr that answers while the file ``up`` is there, and notes when it was asked."""
    silent = script(tmp_path / "silent", "exit 1")
    sacctmgr = script(
        tmp_path / "sacctmgr",
        f'cd {tmp_path}\ncase "$*" in *adminlevel=Admin*) echo >> asked;; esac\n'
        "[ -e up ] || { echo 'slurmdbd is away' >&2; exit 1; }\n"
        'case "$*" in *adminlevel=Op*) echo olga;; *adminlevel=*) echo root;; *format=ID) echo 1;;\n'
        '*format=ID,User) printf "1|\\n";;\n'
        '*format=ID*) echo "1|root|";; *withcoord*format=Account*) echo "root|rosa";; *"show account format=Account")\n'
        'echo root;; *"show config") echo "PrivateData = none";; *) exit 1;; esac',
    )
    settings = site(tmp_path)
    return replace(settings, sacct=silent, scontrol=silent, sacctmgr=sacctmgr, squeue=silent, slurmd=silent)


def test_the_daemon_asks_every_ten_minutes_and_notes_what_fails(tmp_path: Path) -> None:
    settings = asking(tmp_path)
    (tmp_path / "up").touch()
    clock = [NOW]
    asked = tmp_path / "asked"
    with open_ledger(settings.ledger) as ledger:
        work = Engine(settings, ledger, lambda: clock[0], None)
        until(work, lambda: count(ledger, "coordinator_report", "user = 'rosa' AND coordinates = 1") == 1)
        clock[0] += RIGHTS_EVERY_SECONDS * 1000 - 1
        for _ in range(5):
            work.step()
        assert asked.read_text().count("\n") == 1
        (tmp_path / "up").unlink()
        clock[0] += 1
        until(work, lambda: count(ledger, "source_poll", "witness = 'rights' AND ok = 0") == 1)
        assert count(ledger, "user_report") == 2, "a failed answer takes nothing away"
        (failed,) = rows(ledger, "detail, rows", "source_poll", "witness = 'rights' AND ok = 0")
        assert "slurmdbd is away" in str(failed[0])


def test_a_clock_that_goes_back_puts_no_question_off(tmp_path: Path) -> None:
    settings = asking(tmp_path)
    (tmp_path / "up").touch()
    clock = [NOW]
    with open_ledger(settings.ledger) as ledger:
        work = Engine(settings, ledger, lambda: clock[0], None)
        until(work, lambda: count(ledger, "source_poll", "witness = 'rights' AND ok = 1") == 1)
        clock[0] -= 3_600_000
        until(work, lambda: count(ledger, "source_poll", "witness = 'rights' AND ok = 1") == 2)
