from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from slurm_gpucost.sources.identity import identity

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.parametrize(
    ("login_uid", "sudo_user", "login"),
    [
        (str(pwd.getpwnam("daemon").pw_uid), "eve", "daemon"),  # the kernel's word before the environment's
        ("4294967295", "", ME),
        ("4294967295", "ann", "ann" if os.geteuid() == 0 else ME),  # only root was made so by sudo
        ("", "", ME),
        ("3999999", "", "3999999"),  # nobody of that number here
    ],
)
def test_who_it_is(tmp_path: Path, login_uid: str, sudo_user: str, login: str) -> None:
    file = tmp_path / "loginuid"
    file.write_text(login_uid, encoding="ascii")
    assert identity({"SUDO_USER": sudo_user}, file).login == login


def test_from_where(tmp_path: Path) -> None:
    found = identity({"SSH_CONNECTION": "192.0.2.7 50022 198.51.100.1 22"}, tmp_path / "none")
    assert found.terminal.split(" ")[-1] == "192.0.2.7"
    assert (found.login, found.uid) == (ME, os.geteuid())
