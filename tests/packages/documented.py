"""What docs/install.md shows is what the tests run."""

from __future__ import annotations

from tests.packages.built import REPOSITORY
from tests.packages.host import Host


def documented(command: str) -> str:
    """A command that docs/install.md shows on a line of its own."""
    lines = (REPOSITORY / "docs/install.md").read_text(encoding="utf-8").splitlines()
    assert command in lines, f"docs/install.md does not show: {command}"
    return command


def install(host: Host) -> None:
    """Both packages, in the old version."""
    command = documented("apt-get install -y ./gpucost-node_*_all.deb ./gpucost_*_all.deb")
    host.run(f"cd old && {command}", timeout=120)


def configure(host: Host) -> None:
    """The config of a ledger's host."""
    init = "gpucost init --config /etc/gpucost/gpucost.toml --timezone Europe/Berlin --currency EUR"
    host.run(documented(init + " --cluster alpha --gpu a100=64x12000"))
    host.run(documented("chown root:gpucost /etc/gpucost/gpucost.toml"))
    host.run(documented("chmod 640 /etc/gpucost/gpucost.toml"))
