"""What sacctmgr says of accounts day after day becomes a log of changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.services import collect
from slurm_gpucost.services.engine import Engine
from slurm_gpucost.sources.associations import Account
from tests.unit.builders import config, script
from tests.unit.services.test_engine import NOW, count, until

DAY = 86_400_000


def take(ledger: Ledger, tmp_path: Path, at: int, **said: str) -> int:
    told = [Account(name, text, "uni") for name, text in said.items()]
    return collect.take_accounts(ledger, config(tmp_path), told, at).new


def rows(ledger: Ledger) -> list[tuple[str, int, str | None]]:
    said = "SELECT account, observed_at_ms, description FROM account_report WHERE account != 'root' ORDER BY 1, 2"
    return ledger.connection.execute(said).fetchall()


def test_only_changes_are_kept_and_what_is_gone_is_noted_once(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db") as ledger:
        assert take(ledger, tmp_path, 1, root="r", bio="Bio", phys="Physics") == 3
        assert take(ledger, tmp_path, 2, root="r", bio="Bio", phys="Physics") == 0
        assert take(ledger, tmp_path, 3, root="r", bio="Biology") == 2
        assert take(ledger, tmp_path, 4, root="r", bio="Biology") == 0
        assert take(ledger, tmp_path, 5, root="r", bio="Biology", phys="Physics") == 1
        assert rows(ledger) == [
            ("bio", 1, "Bio"), ("bio", 3, "Biology"), ("phys", 1, "Physics"), ("phys", 3, None), ("phys", 5, "Physics"),
        ]  # fmt: skip


def test_who_is_not_shown_all_accounts_does_not_take_the_others_for_gone(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db") as ledger:
        take(ledger, tmp_path, 1, root="r", bio="Bio", phys="Physics")
        assert take(ledger, tmp_path, 2, bio="Bio") == 0
        assert take(ledger, tmp_path, 3) == 0
        assert rows(ledger) == [("bio", 1, "Bio"), ("phys", 1, "Physics")]


def test_the_daemon_asks_once_a_day_and_again_soon_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = script(tmp_path / "silent", "exit 1")
    log, broken = tmp_path / "asked", tmp_path / "broken"
    broken.touch()
    sacctmgr = script(
        tmp_path / "sacctmgr",
        f'case "$*" in *"show account"*) ;; *) exit 1;; esac\n[ -e {broken} ] && echo no slurmdbd >&2 && exit 1\n'
        f'echo "$*" >> {log}\ncase "$*" in *Account) echo bio;; *) echo "bio|Bio";; esac',
    )
    settings = replace(config(tmp_path), sacct=silent, scontrol=silent, sacctmgr=sacctmgr, squeue=silent, slurmd=silent)
    clock = [NOW]
    with open_ledger(settings.ledger) as ledger:
        work = Engine(settings, ledger, lambda: clock[0], None)
        until(work, lambda: count(ledger, "source_poll", "witness = 'accounts' AND ok = 0") == 1)
        broken.unlink()
        clock[0] += settings.accounting_interval_seconds * 1000
        until(work, lambda: count(ledger, "account_report", "account = 'bio' AND description = 'Bio'") == 1)
        clock[0] += DAY - 1
        for _ in range(10):
            work.step()
        assert len(log.read_text().splitlines()) == 3, "three questions, once"
        clock[0] += 1
        until(work, lambda: count(ledger, "source_poll", "witness = 'accounts' AND ok = 1") == 2)
        assert count(ledger, "account_report", "1") == 1
