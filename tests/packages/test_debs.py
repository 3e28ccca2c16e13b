"""What is in the packages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.packages.built import NEW, OLD, REPOSITORY, build, source

pytestmark = pytest.mark.cluster


def listed(deb: Path) -> dict[str, str]:
    """The mode and owner of each file of a package, by path."""
    out = subprocess.run(["dpkg-deb", "--contents", deb], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 5) for line in out.splitlines()]
    return {row[5].removeprefix("."): f"{row[0]} {row[1]}" for row in rows if not row[5].endswith("/")}


def field(deb: Path, name: str) -> str:
    return subprocess.run(["dpkg-deb", "--field", deb, name], capture_output=True, text=True, check=True).stdout.strip()


def test_the_same_sources_give_the_same_bytes(debs: Path, tmp_path: Path) -> None:
    again = build(source(tmp_path / "elsewhere", OLD), tmp_path / "out")
    assert [deb.name for deb in again] == [f"gpucost-node_{OLD}_all.deb", f"gpucost_{OLD}_all.deb"]
    for deb in again:
        assert deb.read_bytes() == (debs / deb.name).read_bytes()


def test_no_package_owns_the_hooks_that_slurm_names_or_a_config(debs: Path) -> None:
    for deb in debs.glob("*.deb"):
        assert not [path for path in listed(deb) if path.startswith(("/etc/", "/var/", "/run/"))]
        assert {owner.split()[1] for owner in listed(deb).values()} == {"root/root"}
    assert (
        listed(debs / f"gpucost-node_{OLD}_all.deb")["/usr/lib/gpucost-node/hooks/gpucost-prolog"]
        == "-rwxr-xr-x root/root"
    )


def test_both_can_be_on_one_host_and_run_on_any_architecture(debs: Path) -> None:
    node, full = debs / f"gpucost-node_{NEW}_all.deb", debs / f"gpucost_{NEW}_all.deb"
    assert not set(listed(node)) & set(listed(full))
    assert field(node, "Architecture") == field(full, "Architecture") == "all"
    assert f"gpucost-node (= {NEW})" in field(full, "Depends")
    assert "gpucost " not in field(node, "Depends") and "python3 (>= 3.11)" in field(node, "Depends")
    assert not [path for path in [*listed(node), *listed(full)] if re.search(r"\.(so|c|pyc)$", path)]


def test_a_node_gets_the_daemon_and_the_drivers_binding_and_no_other_module(debs: Path) -> None:
    library = "/usr/lib/gpucost-node/"
    files = [path.removeprefix(library) for path in listed(debs / f"gpucost-node_{OLD}_all.deb") if library in path]
    first = {path.split("/")[0].split("-")[0] for path in files}
    assert first == {"slurm_gpucost", "pynvml.py", "nvidia_ml_py", "hooks"}
    shipped = {path for path in files if path.startswith("slurm_gpucost/")}
    words = ["git", "ls-files", "slurm_gpucost"]
    tracked = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert set(tracked.stdout.splitlines()) <= shipped


def test_every_module_inside_has_its_version_pinned(debs: Path) -> None:
    text = (REPOSITORY / "packaging/constraints.txt").read_text()
    pinned = {tuple(line.split("==")) for line in text.splitlines() if "==" in line}
    paths = [path for deb in debs.glob(f"*_{OLD}_*.deb") for path in listed(deb)]
    found = {match[1] for path in paths if (match := re.search(r"/([^/]+)\.dist-info/METADATA$", path))}
    assert {(name.replace("_", "-"), version) for name, version in (info.rsplit("-", 1) for info in found)} <= pinned
    assert len(found) > 10
