from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from slurm_gpucost.cli.files import write_whole
from slurm_gpucost.domain.errors import GpucostError
from slurm_gpucost.settings import load

Run = Callable[..., Result]
WORDS = ["--timezone", "Asia/Kolkata", "--currency", "EUR", "--cluster", "big", "--gpu", "a100=500x12000"]


def test_the_config_works_without_an_editor(gpucost: Run, tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    result = gpucost(
        "init", "--config", str(path), *WORDS, "--gpu", "h100=8x30000.50", "--shards", "4",
        "--ledger", "sub/l.db", "--spool", str(tmp_path / "spool"),
    )  # fmt: skip
    assert result.exit_code == 0
    settings = load(path)
    assert (settings.cluster, settings.timezone.key, settings.currency) == ("big", "Asia/Kolkata", "EUR")
    assert [(sku.name, sku.devices, sku.shards) for sku in settings.pools[0].skus] == [("a100", 500, 4), ("h100", 8, 4)]
    assert settings.ledger == tmp_path / "sub/l.db", "a path that is relative here is absolute in the file"
    assert f"gpucostd run --config {path}" in result.stdout
    assert "mkdir -p" in result.stdout, "the ledger's directory is not there yet"
    assert "/etc/gpucost/spool" in result.stdout, "the hooks must know of a spool elsewhere"
    assert (path.stat().st_mode & 0o444) == 0o444, "users read it, too"


def test_before_the_command_as_well(gpucost: Run, tmp_path: Path) -> None:
    assert gpucost("--config", "g.toml", "--ledger", "l.db", "init", *WORDS).exit_code == 0
    assert load(tmp_path / "g.toml").ledger == tmp_path / "l.db"


def test_a_config_is_never_overwritten_without_force(gpucost: Run, tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    path.write_text("precious")
    refused = gpucost("init", "--config", "g.toml", *WORDS)
    assert refused.exit_code == 1
    assert "stays as it is; --force replaces it" in refused.stderr
    assert path.read_text() == "precious"
    assert gpucost("init", "--config", "g.toml", *WORDS, "--force").exit_code == 0
    assert tomllib.loads(path.read_text())["cluster"] == "big"
    assert [p.name for p in tmp_path.iterdir()] == ["g.toml"], "nothing is left over"


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--timezone", "Mars/Base", "'Mars/Base' is no time zone"),
        ("--currency", "EURO", "'EURO' is no ISO 4217 currency code"),
        ("--gpu", "a100", "write TYPE=COUNTxPRICE, like a100=500x12000"),
        ("--gpu", "a100=0x5", "write TYPE=COUNTxPRICE"),
        ("--shards", "-1", "--shards"),
    ],
)
def test_faults_are_named_and_nothing_is_written(
    gpucost: Run, tmp_path: Path, option: str, value: str, said: str
) -> None:
    result = gpucost("init", "--config", "g.toml", *WORDS, option, value)
    assert result.exit_code == 2
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_several_faults_in_one_go(gpucost: Run) -> None:
    result = gpucost("init", "--config", "g.toml", *WORDS, "--timezone", "x", "--currency", "y", "--cluster", "")
    assert result.exit_code == 2
    assert [line.split(":")[2].strip() for line in result.stderr.splitlines()] == ["cluster", "timezone", "currency"]


def test_a_directory_that_is_not_there(gpucost: Run) -> None:
    result = gpucost("init", "--config", "no/g.toml", *WORDS)
    assert (result.exit_code, result.stderr) == (
        1,
        "gpucost: no/g.toml: its directory does not exist; make it, or name another file\n",
    )


def test_write_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_whole(path, "one\n")
    with pytest.raises(GpucostError, match="is there already"):
        write_whole(path, "two\n", replace=False)

    def refuse(_: Path) -> None:
        raise GpucostError("no")

    with pytest.raises(GpucostError, match="no"):
        write_whole(path, "three\n", check=refuse)
    assert path.read_text() == "one\n"
    write_whole(path, "four\r\n")
    assert path.read_bytes() == b"four\r\n"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    (tmp_path / "dir").mkdir()
    with pytest.raises(GpucostError, match="cannot be written"):
        write_whole(tmp_path / "dir", "x")
