"""[access]: defaults that give nobody anything, and faults that are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.settings import Settings, load
from slurm_gpucost.settings.access import Access
from tests.unit.builders import config


def read(tmp_path: Path, *lines: str) -> Settings:
    config(tmp_path)
    path = tmp_path / "gpucost.toml"
    whole = path.read_text()
    before, _, after = whole.partition("[access]\n")
    rest = after[after.index("\n[") :]
    path.write_text(before + "[access]\n" + "\n".join(lines) + "\n" + rest)
    return load(path)


def test_by_default_nobody_is_more_than_a_user(tmp_path: Path) -> None:
    nobody = Access((), (), (), "own", "slurm", (), 300, None)
    assert config(tmp_path).access == nobody, "as `gpucost init` writes it"
    assert read(tmp_path).access == nobody


def test_all_of_it(tmp_path: Path) -> None:
    found = read(
        tmp_path, 'finance = ["dave"]', 'costs = ["cora"]', 'administrators = ["max"]', 'visibility = "account"',
        'private_data = ["jobs", "users"]', 'trusted_hosts = "admin[1-2],fin"', "munge_lifetime_seconds = 120",
        'munge_socket = "/run/m"',
    ).access  # fmt: skip
    expected = ("dave",), ("cora",), ("max",), "account", ("jobs", "users"), ("admin1", "admin2", "fin")
    assert found == Access(*expected, 120, Path("/run/m"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('visibility = "everyone"', "access.visibility: must be 'own', 'account' or 'all'"),
        ('private_data = ["job"]', "access.private_data: must be 'slurm' or a list of some of: accounts, jobs"),
        ('private_data = "usage"', "access.private_data: must be 'slurm' or a list"),
        ("private_data = [[]]", "access.private_data: must be 'slurm' or a list"),
        ('trusted_hosts = "n[1-"', "access.trusted_hosts: 'n[1-' is no hostlist"),
        ('trusted_hosts = ["n1"]', "access.trusted_hosts: must be a hostlist"),
        ("munge_lifetime_seconds = 59", "access.munge_lifetime_seconds: must be at least 60"),
        ("munge_lifetime_seconds = 3601", "access.munge_lifetime_seconds: must be at most 3600"),
        ('finance = "dave"', "access.finance: must be a list of texts"),
        ('financ = ["dave"]', "did you mean finance?"),
    ],
)
def test_faults_are_named(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, line)
    assert any(said in fault for fault in caught.value.faults), caught.value.faults
