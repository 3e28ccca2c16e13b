"""Asks ``slurmd -G``, with a configuration of its own, so that nothing of the slurmd that runs is touched.

``slurmd -G`` begins as any slurmd does: it connects to every step of its spool directory and has it reopen its log and
(since 23.11) read its controllers anew, and it deletes the job script of a step that does not listen yet
(``update_stepd_logging`` and ``_handle_stray_script`` in Slurm's source). On 24.11 asking it while jobs began made
their slurmstepd crash and lost a job its script; docs/slurm-behaviour.md tells. So it gets a directory with links to
all that lies beside the site's slurm.conf, and a slurm.conf that includes the site's and names an empty spool
directory and a log of its own. Cgroups are switched off there where that can be said (since 24.05).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from slurm_gpucost.domain.errors import SourceError

TIME_LIMIT_S = 30.0
"""slurmd itself waits up to 20 s for a device file that is not there yet."""
USUAL_PLACES = (
    "/etc/slurm/slurm.conf",
    "/run/slurm/conf/slurm.conf",  # without a file of its own (configless) slurmd lays a link there
    "/etc/slurm-llnl/slurm.conf",
)
_CGROUPS_CAN_BE_DISABLED = (24, 5)
_VERSION = re.compile(r"\b(\d+)\.(\d+)")


def find_conf(slurmd: str, named: Path | None) -> Path:
    """The site's slurm.conf: the named one, that of SLURM_CONF, ../etc of slurmd's, or one in a usual place.

    Raises SourceError.
    """
    if named is not None:
        if not named.is_file():
            raise SourceError(f"`slurmd.slurm_conf` names {named}, which is no file")
        return named
    places = [place] if (place := os.environ.get("SLURM_CONF")) else []
    if binary := shutil.which(slurmd):  # where Slurm is installed from its source, below one directory
        places.append(str(Path(binary).resolve().parents[1] / "etc/slurm.conf"))
    places += USUAL_PLACES
    for place in places:
        if Path(place).is_file():
            return Path(place)
    raise SourceError(
        f"no slurm.conf is at any of {', '.join(places)}: name it as `slurm_conf` under [slurmd] of the config. "
        "Without it slurmd is not asked, for it would disturb the steps that run"
    )


def ask_gres(
    slurmd: str, node: str | None, slurm_conf: Path | None = None, timeout_seconds: float = TIME_LIMIT_S
) -> str:
    """What ``slurmd -G`` prints for the node (None: the one of this host).

    Raises SourceError with the command, its exit code and what it said.
    """
    conf = find_conf(slurmd, slurm_conf).absolute()
    line = [slurmd, "-G", *(["-N", node] if node else [])]
    cgroups = _version(slurmd, timeout_seconds) < _CGROUPS_CAN_BE_DISABLED
    try:
        with tempfile.TemporaryDirectory(prefix="gpucost-slurmd.") as top:
            mine = apart(conf, Path(top), cgroups=cgroups)
            return _run(line, timeout_seconds, {**os.environ, "SLURM_CONF": str(mine)}, Path(top, "log"))
    except OSError as error:
        raise SourceError(f"no copy of Slurm's configuration can be made for `{shlex.join(line)}`: {error}") from None


def apart(conf: Path, top: Path, *, cgroups: bool) -> Path:
    """Lay out in the empty directory ``top`` what a slurmd of its own needs; its slurm.conf. Raises OSError."""
    own = {"slurm.conf", *(() if cgroups else ("cgroup.conf",))}
    configs = top / "conf"
    configs.mkdir()
    (top / "spool").mkdir()
    for entry in conf.parent.iterdir():
        if entry.name not in own:
            (configs / entry.name).symlink_to(entry)
    if not cgroups:
        (configs / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
    mine = configs / "slurm.conf"
    # Of what is given twice Slurm takes the last.
    mine.write_text(f"Include {conf}\nSlurmdSpoolDir={top}/spool\nSlurmdLogFile={top}/log\n")
    return mine


def _version(slurmd: str, timeout_seconds: float) -> tuple[int, int]:
    found = _VERSION.search(_run([slurmd, "-V"], timeout_seconds, os.environ))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _run(line: list[str], timeout_seconds: float, env: Mapping[str, str], log: Path | None = None) -> str:
    shown = shlex.join(line)
    try:
        # It logs the records, to stderr.
        done = subprocess.run(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            timeout=timeout_seconds,
            check=False,
        )
    except OSError as error:
        raise SourceError(f"`{shown}` cannot be run: {error.strerror or error}") from None
    except subprocess.TimeoutExpired:
        raise SourceError(f"`{shown}` gave no answer within {timeout_seconds:g} s") from None
    said = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        if log is not None and log.exists():
            said += log.read_text(errors="replace")
        raise SourceError(f"`{shown}` failed (exit {done.returncode}): {said.strip()[-2000:] or 'it said nothing'}")
    return said
