"""The demo for real: what it prints is what follows from the accounting in its recording, worked out by other means."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from importlib import resources
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    place = tmp_path_factory.mktemp("demo") / "d"
    command = [sys.executable, "-m", "slurm_gpucost.cli", "demo", "--directory", str(place)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout, place


def seconds_in_the_recording() -> dict[tuple[str, str], Fraction]:
    """GPU-seconds by account and user, from the last words of sacct alone."""
    lines = gzip.decompress((resources.files("slurm_gpucost.demo") / "recording.jsonl.gz").read_bytes()).splitlines()
    last = [item for item in map(json.loads, lines) if item["kind"] == "sacct"][-1]
    header, *rows = last["text"].splitlines()
    names = header.split(last["separator"])
    spent: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for line in rows:
        row = dict(zip(names, line.split(last["separator"]), strict=True))
        gpus = re.search(r"gres/gpu=(\d+)", row["AllocTRES"])
        shards = re.search(r"gres/shard=(\d+)", row["AllocTRES"])
        held = Fraction(gpus[1]) if gpus else Fraction(int(shards[1]) if shards else 0, 4)
        spent[row["Account"], row["User"]] += held * int(row["ElapsedRaw"])
    return {key: quantity for key, quantity in spent.items() if quantity}


def test_invoices_follow_from_the_recorded_accounting(shown: tuple[str, Path]) -> None:
    text, _ = shown
    price = Decimal(re.findall(r"a100 in pool main, \S+: (\S+) EUR per GPU-hour", text)[0])
    spent = seconds_in_the_recording()
    assert len(spent) >= 4
    for account in {account for account, _ in spent}:
        page = text.split(f"Account:  {account}\n")[1].split("PROVISIONAL")[0]
        total = sum((q for (a, _), q in spent.items() if a == account), Fraction(0)) / 3600 * Fraction(price)
        exact = Decimal(total.numerator) / Decimal(total.denominator)
        assert re.findall(r"^Total +(\S+)$", page, re.MULTILINE) == [
            str(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))
        ]
        for user in {user for a, user in spent if a == account}:
            hours = Decimal(re.findall(rf"^{user} .* (\d+\.\d{{6}}) ", page, re.MULTILINE)[0])
            assert abs(Fraction(hours) - spent[account, user] / 3600) <= Fraction(1, 2_000_000)


def test_it_says_what_is_simulated_and_what_to_type_next(shown: tuple[str, Path]) -> None:
    text, place = shown
    assert "real Slurm" in text and "GPUs are simulated" in text
    for line in re.findall(r"^  (gpucost .*)$", text.split("What to type next:")[1], re.MULTILINE):
        words = [*line.split()[1:]]
        done = subprocess.run(
            [sys.executable, "-m", "slurm_gpucost.cli", *words],
            env={"GPUCOST_CONFIG": str(place / "gpucost.toml")}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stderr)
        assert done.stdout


def test_devices_and_what_they_did_are_in_its_ledger(shown: tuple[str, Path]) -> None:
    command = [sys.executable, "-m", "slurm_gpucost.cli", "jobs", "-a", "-S", "2026-01-01", "--json"]
    environment = {"GPUCOST_CONFIG": str(shown[1] / "gpucost.toml")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    leases = [lease for attempt in json.loads(done.stdout) for lease in attempt["leases"]]
    assert {lease["node"] for lease in leases} == {"n1", "n2"}
    assert all(lease["device"].startswith("GPU-5") for lease in leases)
    n2 = {lease["index"]: lease["device"][4:6] for lease in leases if lease["node"] == "n2"}
    assert all(device == f"5{index + 4}" for index, device in n2.items()), "index 0 of n2 is the file /dev/fakegpu4"
    long = [lease for lease in leases if lease["end"] - lease["start"] > 60]
    assert all(Decimal(lease["energy_coverage"]) > Decimal("0.9") for lease in long)


def test_a_directory_that_has_a_ledger_is_left_alone(shown: tuple[str, Path]) -> None:
    before = (shown[1] / "ledger.db").read_bytes()
    command = [sys.executable, "-m", "slurm_gpucost.cli", "demo", "--directory", str(shown[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "name an empty directory" in done.stderr
    assert (shown[1] / "ledger.db").read_bytes() == before
