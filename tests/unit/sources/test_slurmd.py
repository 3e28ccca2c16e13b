"""How slurmd is asked for its GRES: with a configuration of its own, so that no step that runs hears of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.sources import slurmd
from slurm_gpucost.sources.slurmd import ask_gres, find_conf
from slurm_gpucost.sources.slurmd_gres import parse
from tests.unit.builders import script

# What it was asked and given is kept, for the directory is gone afterwards.
_TELLS = """[ "$1" != -V ] || { echo 'slurm-wlm VERSION'; exit 0; }
here=${SLURM_CONF%/*}
echo "$@" >TOP/asked
cp -r "$here/.." TOP/given
readlink "$here/gres.conf" >TOP/gres
"""


def command(path: Path, body: str, version: str = "24.11.5") -> str:
    text = _TELLS.replace("TOP", str(path.parent)).replace("VERSION", version)
    return script(path, text + body)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    site = tmp_path / "etc"
    site.mkdir()
    for name in ("slurm.conf", "gres.conf", "cgroup.conf", "nodes.conf"):
        (site / name).write_text(f"# {name} of the site\n")
    return site / "slurm.conf"


def test_slurmd_is_asked_for_the_node_and_speaks_on_stderr(tmp_path: Path, conf: Path) -> None:
    line = "Gres Name=gpu Type=a100 Count=1 Index=0 ID=7696487 File=/dev/nvidia3"
    asked = command(tmp_path / "slurmd", f'echo "slurmd: {line}" >&2; rm -r {tmp_path}/given')
    assert [(s.index, s.minor) for s in parse(ask_gres(asked, "n7", conf))] == [(0, 3)]
    assert (tmp_path / "asked").read_text() == "-G -N n7\n"
    ask_gres(asked, None, conf)
    assert (tmp_path / "asked").read_text() == "-G\n"


def test_it_sees_the_sites_files_and_an_empty_spool(tmp_path: Path, conf: Path) -> None:
    ask_gres(command(tmp_path / "slurmd", ""), "n1", conf)
    given = tmp_path / "given"
    lines = (given / "conf/slurm.conf").read_text().splitlines()
    assert lines[0] == f"Include {conf}"
    own = dict(line.split("=") for line in lines[1:])
    top = Path(own["SlurmdSpoolDir"]).parent
    assert {Path(path).parent for path in own.values()} == {top}
    assert own.keys() == {"SlurmdSpoolDir", "SlurmdLogFile"}
    assert list((given / "spool").iterdir()) == []
    assert (tmp_path / "gres").read_text() == f"{conf.parent}/gres.conf\n"
    assert (given / "conf/nodes.conf").read_text() == "# nodes.conf of the site\n"
    assert not top.exists()


@pytest.mark.parametrize(
    ("version", "text"),
    [("22.05.8", "# cgroup.conf of the site\n"), ("24.05.0", "CgroupPlugin=disabled\n")],
)
def test_cgroups_are_off_where_that_can_be_said(tmp_path: Path, conf: Path, version: str, text: str) -> None:
    ask_gres(command(tmp_path / "slurmd", "", version), "n1", conf)
    assert (tmp_path / "given/conf/cgroup.conf").read_text() == text
    assert conf.with_name("cgroup.conf").read_text() == "# cgroup.conf of the site\n"


def test_a_failure_keeps_command_exit_code_and_words(tmp_path: Path, conf: Path) -> None:
    failing = command(tmp_path / "slurmd", "echo 'slurmd: error: slurmd initialization failed' >&2; exit 1")
    with pytest.raises(SourceError, match=r"slurmd -G -N n1` failed \(exit 1\): .*initialization failed"):
        ask_gres(failing, "n1", conf)
    logging = command(tmp_path / "logging", f"rm -r {tmp_path}/given; echo 'error: no cgroups' >$here/../log; exit 1")
    with pytest.raises(SourceError, match=r"logging -G` failed \(exit 1\): error: no cgroups"):
        ask_gres(logging, None, conf)
    with pytest.raises(SourceError, match=r"slow -G` gave no answer within 0\.5 s"):
        ask_gres(command(tmp_path / "slow", f"rm -r {tmp_path}/given; exec sleep 30"), None, conf, 0.5)
    with pytest.raises(SourceError, match=r"nowhere/slurmd -V` cannot be run: No such file"):
        ask_gres("/nowhere/slurmd", None, conf)


def test_without_a_slurm_conf_it_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_CONF", raising=False)
    monkeypatch.setattr(slurmd, "USUAL_PLACES", (str(tmp_path / "none.conf"),))
    asked = command(tmp_path / "slurmd", "")
    with pytest.raises(SourceError, match=r"no slurm\.conf is at any of .*none\.conf: name it as `slurm_conf` under"):
        ask_gres(asked, "n1")
    with pytest.raises(SourceError, match=r"`slurmd\.slurm_conf` names .*gone\.conf, which is no file"):
        ask_gres(asked, "n1", tmp_path / "gone.conf")
    assert not (tmp_path / "asked").exists()


def test_without_room_for_the_copy_it_is_not_asked(tmp_path: Path, conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    asked = command(tmp_path / "slurmd", "")
    with pytest.raises(
        SourceError, match=r"no copy of Slurm's configuration can be made for `.*slurmd -G -N n1`: .*No"
    ):
        ask_gres(asked, "n1", conf)
    assert not (tmp_path / "asked").exists()


def test_whose_slurm_conf_it_is(tmp_path: Path, conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, other = tmp_path / "usual.conf", tmp_path / "other.conf"
    usual.touch()
    other.touch()
    monkeypatch.setattr(slurmd, "USUAL_PLACES", (str(tmp_path / "none"), str(usual)))
    monkeypatch.delenv("SLURM_CONF", raising=False)
    assert find_conf("/nowhere/slurmd", None) == usual
    (tmp_path / "sbin").mkdir()
    binary = command(tmp_path / "sbin/slurmd", "")
    assert find_conf(binary, None) == conf == tmp_path / "etc/slurm.conf"
    monkeypatch.setenv("SLURM_CONF", str(other))
    assert find_conf(binary, None) == other
    assert find_conf(binary, usual) == usual
