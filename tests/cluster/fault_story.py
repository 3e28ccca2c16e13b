"""Wave after wave of jobs, with a fault in the middle of each; three daemons listen, one of them dies with the rest.

MAIN hears hooks, accounting and controller; CONTROLLER the controller alone. Afterwards HOOKS is fed with the copies of
all event files alone, and ACCOUNTING by a backfill alone, so that each witness can be held against what really was.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster import workload
from tests.cluster.cluster import CommandFailed
from tests.cluster.fault_feeds import FEEDS, KEPT, Files, kept, put
from tests.cluster.fault_packs import OUTAGE, Packs
from tests.cluster.fault_site import COPIES, SPOOL, Site, at
from tests.cluster.scenario import SHARDS, started
from tests.cluster.workload import Seen, batch

ETC, VAR = "/etc/gpucost", "/var/lib/gpucost"
MAIN, CONTROLLER, HOOKS, ACCOUNTING = (f"{ETC}/{name}.toml" for name in ("main", "controller", "hooks", "accounting"))
DEAF = "/bin/false"
FIELDS = ("JobIDRaw", "Submit", "Start", "End", "ElapsedRaw", "State", "User", "Account", "NodeList", "AllocTRES")


class FaultStory:
    """Plays on entry; ``seen`` and ``rows`` are what happened, ``packs`` which job was what."""

    WAVES: tuple[str, ...] = (
        "quiet", "slurmd", "slurmctld", "slurmdbd", "no hooks", "crash", "refused",
    )  # fmt: skip

    def __init__(self, suite: str, waves: tuple[str, ...] = WAVES, feeds: tuple[str, ...] = tuple(FEEDS)) -> None:
        self.cluster = Site(suite)
        self.packs = Packs(self.cluster)
        self.waves = waves
        self.feeds = feeds
        self.took: dict[str, float] = {}
        self.daemons: dict[str, int] = {}
        self.rows: list[dict[str, str]] = []
        self.seen: list[Seen] = []
        self.hooks: Counter[tuple[str, int, str]] = Counter()
        self.files: Files = []

    def __enter__(self) -> Self:
        self.cluster.boot()
        try:
            self._play()
        except BaseException:
            self.cluster.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cluster.close()

    def _play(self) -> None:
        self._configure(MAIN, spool=SPOOL)
        self._configure(CONTROLLER, spool="/run/gpucost/none", sacct=DEAF, slurmd=DEAF)
        self._configure(HOOKS, spool=COPIES, sacct=DEAF, scontrol=DEAF, squeue=DEAF)
        self._configure(ACCOUNTING, spool="/run/gpucost/none", scontrol=DEAF)
        self.daemons = {config: self._daemon(config) for config in (MAIN, CONTROLLER)}
        for wave in self.waves:
            began = time.monotonic()
            self.play_wave(wave)
            self.took[wave] = time.monotonic() - began
        self.seen = workload.seen(self.cluster)
        self.rows = self.cluster.sacct(fields=FIELDS)
        self.hooks = self.cluster.hooks_run()
        self._await_ledger(MAIN)
        self.cluster.run(["cp", "-a", COPIES, KEPT])
        self.files = kept(self.cluster)
        self.daemons[HOOKS] = self._daemon(HOOKS)
        self.cluster.run(["gpucost", "backfill", "-S", "now-1day", "-E", "now", "--config", ACCOUNTING])
        for feed in self.feeds:
            self._feed(feed)
        spools = [COPIES, *(f"/run/gpucost/{feed}" for feed in self.feeds)]
        self.cluster.until(
            lambda: not any(path for spool in spools for path in self.cluster.path(spool).glob("[!.]*")),
            "all spools to be taken in",
        )
        time.sleep(2)
        self.rows = self.cluster.sacct(fields=FIELDS)  # 22.05's lags
        time.sleep(3)
        for daemon in self.daemons.values():
            self.cluster.kill(daemon)
        self.cluster.until(lambda: not any(map(self.cluster.alive, self.daemons.values())), "the daemons' end", 15)

    def _feed(self, feed: str) -> None:
        """A ledger that has all of the accounting, and then, days late as it were, the event files with a fault."""
        config, spool = self.fed(feed), f"/run/gpucost/{feed}"
        self._configure(config, spool=spool, scontrol=DEAF)
        self.cluster.run(["cp", self.ledger(ACCOUNTING), self.ledger(config)])
        self.daemons[config] = self._daemon(config)
        put(self.cluster, spool, FEEDS[feed](self.files))

    @staticmethod
    def fed(feed: str) -> str:
        """The config of a ledger that was fed so."""
        return f"{ETC}/fed-{feed.replace(' ', '-')}.toml"

    def play_wave(self, wave: str) -> None:
        """Play the wave of this name."""
        getattr(self, "wave_" + wave.replace(" ", "_"))(wave)

    def _configure(self, config: str, *, spool: str, **commands: str) -> None:
        ledger = self.ledger(config)
        words = ["gpucost", "init", "--config", config, "--timezone", "UTC", "--currency", "EUR", "--cluster", "alpha"]
        words += ["--gpu", "a100=8x12000", "--shards", str(SHARDS), "--ledger", ledger, "--spool", spool]
        self.cluster.run(["mkdir", "-p", ETC, VAR])
        self.cluster.run(words)
        text = self.cluster.read(config)
        for section in ("accounting", "controller"):
            text, found = re.subn(rf"(\[{section}\][^[]*?\ninterval_seconds = )\d+", r"\g<1>2", text)
            assert found == 1
        for command, instead in commands.items():
            text, found = re.subn(rf'(?m)^(\w+) = "{command}"$', rf'\g<1> = "{instead}"', text)
            assert found == 1, (command, text)
        self.cluster.write(config, text)

    @staticmethod
    def ledger(config: str) -> str:
        """The ledger of a config."""
        return f"{VAR}/{Path(config).stem}.db"

    def restart_main(self, dead_seconds: float = 0) -> None:
        """kill -9 the main daemon, and start it again."""
        self.cluster.kill(self.daemons[MAIN], "KILL")
        time.sleep(dead_seconds)
        self.daemons[MAIN] = self._daemon(MAIN)

    def settle(self, wave: str) -> None:
        """Wait for the wave's jobs and their epilogs, and for both nodes.

        After a minute slurmctld sends again what a dead slurmd did not hear.
        """
        try:
            self.cluster.wait(self.packs.of(wave), 180)
        except AssertionError as error:
            told = self.cluster.run(
                "sacct -aDX -o jobidraw,submit,start,end,state,nodelist; squeue -a -t all; sinfo -N"
            )
            raise AssertionError(f"wave {wave}: {told.stdout}") from error
        self.cluster.until_idle("n1", "n2")

    def wave_quiet(self, wave: str) -> None:
        """No fault, but for the daemon: killed each second, so at every stage of some job."""
        fault = self.packs.submit(wave, "n1", "n2")
        for second in range(6):
            at(fault + second)
            self.restart_main()
        self.settle(wave)

    def wave_slurmd(self, wave: str) -> None:
        """n1's is ended, n2's killed."""
        fault = self.packs.submit(wave, "n1", "n2")
        self.cluster.stop("slurmd-n1")
        self.cluster.stop("slurmd-n2", "KILL")
        at(fault + OUTAGE)
        self.cluster.start("slurmd-n1")
        self.cluster.start("slurmd-n2")
        self.settle(wave)

    def wave_slurmctld(self, wave: str) -> None:
        """With the daemon dead for the same time."""
        fault = self.packs.submit(wave, "n1", "n2")
        self.cluster.stop("slurmctld")
        self.cluster.kill(self.daemons[MAIN], "KILL")
        at(fault + OUTAGE)
        self.cluster.start("slurmctld")
        self.daemons[MAIN] = self._daemon(MAIN)
        self.settle(wave)

    def wave_slurmctld_killed(self, wave: str) -> None:
        """It saves its state up to five seconds late, so it forgets starts and ends that the accounting knows."""
        fault = self.packs.submit(wave, "n1", "n2")
        self.cluster.stop("slurmctld", "KILL")
        at(fault + OUTAGE)
        self.cluster.start("slurmctld")
        self.mend(wave, lost=True)
        self.settle(wave)

    def mend(self, wave: str, timeout: float = 90, lost: bool = False) -> None:
        """What an administrator does until all runs again: nodes resumed, requeued jobs begun.

        ``lost``: there may be jobs that slurmctld thinks are running and no node knows.
        """
        cluster = self.cluster
        deadline = time.monotonic() + timeout
        looked = time.monotonic()
        while time.monotonic() < deadline:
            time.sleep(2)
            states = cluster.states(*self.packs.of(wave))
            if not {"PENDING", "RUNNING", "COMPLETING"} & set(states.values()):
                break
            for node, state in cluster.node_states().items():
                if state.startswith(("drain", "down")):
                    cluster.scontrol("update", f"nodename={node}", "state=resume", check=False)
            for job, state in states.items():
                if state == "PENDING":
                    cluster.scontrol("update", f"jobid={job}", "starttime=now", check=False)
            if (
                lost and time.monotonic() - looked > 14
            ):  # BatchStartTimeout has passed: a registering slurmd tells what it lacks
                for node in ("n1", "n2"):
                    cluster.stop(f"slurmd-{node}")
                    cluster.start(f"slurmd-{node}")
                looked = time.monotonic()

    def wave_slurmdbd(self, wave: str) -> None:
        self._outage(wave, "slurmdbd")

    def wave_database(self, wave: str) -> None:
        """MariaDB killed under slurmdbd; the daemon starts while nobody can tell it anything."""
        fault = self.packs.submit(wave, "n1", "n2")
        self.cluster.stop("mariadbd", "KILL")
        self.restart_main()
        at(fault + OUTAGE)
        self.cluster.start("mariadbd")
        self.settle(wave)

    def _outage(self, wave: str, daemon: str) -> None:
        fault = self.packs.submit(wave, "n1", "n2")
        self.cluster.stop(daemon)
        at(fault + OUTAGE)
        self.cluster.start(daemon)
        self.settle(wave)

    def wave_no_hooks(self, wave: str) -> None:
        """n2 knows no Prolog and no Epilog; n1's spool is full."""
        cluster = self.cluster
        text = cluster.read("/etc/slurm/slurm.conf")
        cluster.write("/etc/slurm/bare.conf", re.sub(r"(?m)^(Prolog|Epilog)=.*\n", "", text))
        cluster.stop("slurmd-n2")
        cluster.start("slurmd-n2", "-f", "/etc/slurm/bare.conf")
        cluster.run(f"mount -t tmpfs -o size=4k,mode=700 tmpfs {SPOOL} && head -c 4096 /dev/zero >{SPOOL}/.full")
        cluster.until_idle("n2")
        self.packs.submit(wave, "n1", "n2")
        self.settle(wave)
        cluster.run(f"umount {SPOOL}", check=False)
        cluster.stop("slurmd-n2")
        cluster.start("slurmd-n2")
        cluster.until_idle("n2")

    def wave_crash(self, wave: str) -> None:
        """n1 and all on it dies, n2 is cut off; both are set down, and what ran there runs again on the other one.

        n1 comes back rebooted and knows nothing. n2 comes back with what it had, so its epilogs are late.
        """
        cluster, packs = self.cluster, self.packs
        fault = packs.submit(wave, "n1", "n2")
        cluster.crash("n1", packs.of(wave))
        cluster.freeze("n2", packs.of(wave))
        cluster.scontrol("update", "nodename=n[1-2]", "state=down", "reason=no answer")
        at(fault + OUTAGE)
        cluster.start("slurmd-n1", "-b")
        cluster.resume("n1")
        self._again(wave, "n2", "n1")
        time.sleep(3)
        cluster.freeze("n2", packs.of(wave), "CONT")
        cluster.resume("n2")
        self._again(wave, "n1", "n2")
        self.mend(wave)
        self.settle(wave)

    def _again(self, wave: str, node: str, other: str) -> None:
        """What ran on a node runs again on the other one, now and not in two minutes."""
        states = self.cluster.states(*self.packs.of(wave))
        for stage in ("running", "ending", "starting"):
            job = self.packs.jobs[wave, node, stage]
            if states.get(job) == "PENDING":
                self.cluster.scontrol("update", f"jobid={job}", f"reqnodelist={other}", "starttime=now")

    def wave_refused(self, wave: str) -> None:
        """A site's prolog fails: on n1 before ours could run, on n2 after it has. Then n1's health check fails."""
        cluster, packs = self.cluster, self.packs
        packs.job(wave, "n1", "refused", batch("saw batch 2"), "--partition=refused")
        packs.job(wave, "n2", "refusedlate", batch("saw batch 2"), "--partition=refusedlate")
        cluster.until(lambda: set(cluster.node_states().values()) == {"drained"}, "both to drain", 30)
        cluster.run(["scancel", *map(str, packs.of(wave))])
        cluster.resume("n1", "n2")
        sick = packs.job(wave, "n1", "sick", batch("saw batch 300"), "--no-requeue")
        cluster.wait_state(sick, "RUNNING")
        cluster.run("touch /scratch/sick.n1")
        cluster.until(lambda: cluster.node_states()["n1"].startswith("down"), "n1 to be found sick", 30)
        cluster.resume("n1")
        self.settle(wave)

    def _await_ledger(self, config: str) -> None:
        """Until the daemon knows every end that sacct knows. Where it never does, the tests say what is missing."""
        deadline = time.monotonic() + 30
        wanted = {(row["JobIDRaw"], row["End"]) for row in self.rows if started(row)}
        while time.monotonic() < deadline:
            with suppress(CommandFailed, ValueError):
                if wanted <= {(a["job_id"], str(a["end"])) for a in self.jobs(config)}:
                    return
            time.sleep(1)

    def _daemon(self, config: str) -> int:
        """Start gpucostd; its process id inside."""
        return self.cluster.spawn(f"gpucostd run --config {config}", f"gpucostd-{Path(config).stem}")

    def jobs(self, config: str = MAIN) -> list[dict[str, Any]]:
        """``gpucost jobs -a``."""
        words = ["gpucost", "jobs", "-a", "-S", "now-1hour", "-E", "now", "--config", config, "--json"]
        found: list[dict[str, Any]] = json.loads(self.cluster.run(words).stdout)
        return found


def main() -> None:
    """For a person: play it, print what it was, and stay: ``python -m tests.cluster.fault_story SUITE [WAVE ...]``."""
    import pickle
    import shlex
    import signal
    import sys

    with FaultStory(sys.argv[1], tuple(sys.argv[2:]) or FaultStory.WAVES) as story:
        print(story.took, "boot", story.cluster.boot_seconds)
        told = {config: story.jobs(config) for config in (MAIN, CONTROLLER, HOOKS, ACCOUNTING, *map(story.fed, FEEDS))}
        facts = {"jobs": story.packs.jobs, "rows": story.rows, "seen": story.seen, "told": told}
        facts["hooks"] = story.cluster.hooks_run()
        Path(f"/tmp/fault-story-{sys.argv[1]}.pickle").write_bytes(pickle.dumps(facts))
        print(shlex.join(story.cluster.enter()), flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
