"""A ledger host and two nodes, each with files, host name, spool, driver and daemon of its own; people with rights.

The collector runs as the user ``gpucost``, a Slurm operator. Beside alice, bob and carol of every cluster: carol is
coordinator of ``science`` (physics and biology are below it), dave of the config's finance, olga a Slurm operator.
While jobs run, a node's daemon and the collector are killed; the collector stays away for some seconds. Then slurmctld
is killed under two jobs, and slurmdbd and its database under two others. Then n1, which has no disk, loses its power
under two jobs: spool and journal are gone, and its new journal is accepted by hand.
"""

from __future__ import annotations

import time

from tests.cluster import workload
from tests.cluster.cluster import NODES, Cluster
from tests.cluster.scenario import LEDGER, MAIN, ZONE, Site
from tests.fakenvml.build import build

URL = "http://127.0.0.1:6843"
SOCKET = "/run/gpucost/collector.sock"
JOURNAL, TOKEN = "/var/lib/gpucost/journal.db", "/etc/gpucost/node.token"
AWAY_SECONDS = 6
SLURM = {("slurmctld",): 20, ("slurmdbd", "mariadbd"): 10}
"""What of Slurm is killed together, under jobs of so many seconds."""
ANSWERS = {"mariadbd": "mariadb -e 'SELECT 1'", "slurmdbd": "sacctmgr -n show cluster"}
WINDOWS = "SELECT device, start_ms, end_ms, observed_ms, energy_mj FROM usage_window"
_NODE = f"""cluster = "alpha"
timezone = "{ZONE}"
[nvml]
interval_seconds = 1
[node]
collector_url = "{URL}"
"""
_DRIVER = "LD_LIBRARY_PATH=/opt/fakenvml FAKENVML_SCENARIO=/etc/gpucost/driver"


def driver(node: str, now_ms: int) -> str:
    """Four busy A100 of that node, in the stand-in's words."""
    lines = ["driver 580.00", "devices 4"]
    for i in range(4):
        lines += [
            f"device {i} uuid {uuid(node, i)}",
            f"device {i} name NVIDIA A100-SXM4-80GB",
            f"device {i} minor {i + 4 * (node == 'n2')}",  # as gres.conf has their files
            f"device {i} energy 1000000 {200_000 + 10_000 * i} {now_ms}",
            f"device {i} util 0 80 40",
        ]
    return "\n".join(lines) + "\n"


def uuid(node: str, index: int) -> str:
    """Of the GPU in that slot."""
    return f"GPU-{node[1:]}{index}000000-0000-4000-8000-000000000000"


class ManyNodes(Site):
    """Plays the workload of the first story."""

    configs = (MAIN,)

    def __init__(self, suite: str) -> None:
        super().__init__(Cluster(suite, apart=True), ["a100=8x12000"])
        self.nodes: dict[str, int] = {}
        """The process of each node's daemon."""
        self.tokens: dict[str, str] = {}
        self.outlived: list[int] = []
        """Jobs under which daemons of Slurm were killed."""

    def set_up(self) -> None:
        cluster = self.cluster
        cluster.run(
            "useradd --system gpucost && useradd -m -u 2004 dave && useradd -m -u 2005 olga && useradd -m mallory"
        )
        for words in (
            "user gpucost account=science adminlevel=operator",
            "user olga account=science adminlevel=operator",
            "coordinator account=science names=carol",
        ):
            cluster.run(f"sacctmgr -i add {words}")
        self._init(MAIN, LEDGER)
        cluster.write(MAIN, cluster.read(MAIN).replace("finance = []", 'finance = ["dave"]'))
        cluster.run(f"chown -R root:gpucost /etc/gpucost && chmod 640 {MAIN}")
        # As the packages have it.
        cluster.run(
            "chown root:gpucost /run/gpucost /var/lib/gpucost; chmod 1775 /run/gpucost; chmod 1770 /var/lib/gpucost"
        )
        self.daemons = [self.collector()]
        cluster.until(lambda: cluster.path(SOCKET).exists(), "the collector's socket", 20)
        enrolled = self.as_service("node", "enroll", *NODES)
        self.tokens = {one["node"]: one["token"] for one in enrolled}
        library = build() / "libnvidia-ml.so.1"
        cluster.run(["mkdir", "-p", "/opt/fakenvml"])
        cluster.path("/opt/fakenvml/libnvidia-ml.so.1").write_bytes(library.read_bytes())
        for node in NODES:
            cluster.write(MAIN, _NODE, node=node)
            cluster.write(TOKEN, self.tokens[node] + "\n", 0o600, node=node)
            cluster.write("/etc/gpucost/driver", driver(node, int(time.time() * 1000)), node=node)
            self.start_node(node)

    def collector(self, after: float = 0) -> int:
        """Start it; its process id inside."""
        words = f"sh -c 'sleep {after}; exec gpucostd collector --config {MAIN}'"
        return self.cluster.spawn(words, "gpucostd-collector", user="gpucost")

    def start_node(self, node: str, after: float = 0) -> None:
        """Start a node's daemon."""
        words = f"sh -c 'sleep {after}; exec env {_DRIVER} gpucostd node --config {MAIN}'"
        self.nodes[node] = self.cluster.spawn(words, f"gpucostd-{node}", node=node)

    def as_service(self, *words: str) -> list[dict[str, str]]:
        """What the service's own user gets from the ledger's file."""
        import json

        done = self.cluster.run(
            ["gpucost", *words, "--config", MAIN, "--ledger", LEDGER, "--json"], user="gpucost", cwd="/"
        )
        found: list[dict[str, str]] = json.loads(done.stdout)
        return found

    def play(self) -> None:
        self.ran = workload.submit(self.cluster, self._trouble)
        for daemons, seconds in SLURM.items():
            self._slurm_killed(seconds, *daemons)
        self._power_cut()

    def _slurm_killed(self, seconds: int, *daemons: str) -> None:
        """kill -9 while a job runs on each node; they end when slurmctld is back, and before slurmdbd is."""
        cluster = self.cluster
        jobs = [
            cluster.sbatch(workload.batch(f"saw batch {seconds}"), user, "--gres=gpu:1", f"--nodelist={node}")
            for user, node in (("alice", "n1"), ("bob", "n2"))
        ]
        for job in jobs:
            cluster.wait_state(job, "RUNNING")
        self._until_saved(jobs)
        for daemon in daemons:
            cluster.stop(daemon, "KILL")
        time.sleep(2 if "slurmctld" in daemons else seconds)
        for daemon in reversed(daemons):
            cluster.start(daemon)
            if daemon in ANSWERS:
                cluster.until(lambda: cluster.run(ANSWERS[daemon], check=False).returncode == 0, daemon, 30)  # noqa: B023
        cluster.wait(jobs)
        self.outlived += jobs

    def _until_saved(self, jobs: list[int]) -> None:
        """What slurmctld has not saved when it is killed it starts anew, and books once."""
        cluster, since = self.cluster, time.time()
        for job in jobs:
            cluster.scontrol("update", f"jobid={job}", "comment=saved")
        state = cluster.path("/var/spool/slurmctld/job_state")
        cluster.until(lambda: state.exists() and state.stat().st_mtime > since, "slurmctld to save its jobs", 30)

    def _power_cut(self) -> None:
        """One job has run for some seconds then, the other for less than one."""
        cluster, where = self.cluster, "--nodelist=n1"
        self.cut = [cluster.sbatch(workload.batch("saw batch 15"), "alice", "--gres=gpu:1", where)]
        cluster.wait_state(self.cut[0], "RUNNING")
        time.sleep(5)
        self.lost_journal = self.ask("SELECT id FROM journal", node="n1")
        self.cut.append(cluster.sbatch(workload.batch("saw batch 15"), "bob", "--gres=gpu:2", where))
        cluster.wait_state(self.cut[1], "RUNNING")
        steps = "|".join(map(str, self.cut))
        slurmd = cluster.read("/run/slurmd-n1.pid").strip()
        cluster.run(
            f"victims=$(pgrep -f '^slurmstepd: \\[({steps})\\.'); "
            'for v in $victims; do victims="$victims $(pgrep -P $v)"; done; '
            f"kill -KILL {slurmd} {self.nodes['n1']} $victims; rm -rf /run/gpucost/* /var/lib/gpucost/*",
            check=False,
            node="n1",
        )
        cluster.scontrol("update", "nodename=n1", "state=down", "reason=power")
        cluster.run(["slurmd", "-N", "n1"], node="n1")
        self.start_node("n1")
        cluster.scontrol("update", "nodename=n1", "state=resume", check=False)

        def waits() -> bool:
            return self.ask("SELECT state FROM node_journal WHERE node = 'n1' ORDER BY first_heard_ms")[-1:] == [
                ["waiting"]
            ]

        cluster.until(waits, "the new journal to wait", 30)
        self.as_service("node", "enroll", "n1", "--accept")
        time.sleep(4)  # begun within two seconds of the requeue, slurmdbd never hears of their end
        for job in self.cut:  # by themselves they would wait two minutes
            cluster.wait_state(job, "PENDING")
            cluster.scontrol("update", f"jobid={job}", "starttime=now")
        cluster.wait(self.cut)

    def ask(self, query: str, node: str = "") -> list[list[str]]:
        """Rows of the ledger, or of a node's journal."""
        words = [
            "sqlite3",
            "-readonly",
            "-separator",
            "\t",
            "-cmd",
            ".timeout 5000",
            JOURNAL if node else LEDGER,
            query,
        ]
        return [line.split("\t") for line in self.cluster.run(words, node=node).stdout.splitlines()]

    def _trouble(self) -> None:
        """kill -9 while jobs run: of the collector, and of a node's daemon, which comes back before it."""
        self.cluster.kill(self.daemons[0], "KILL")
        self.daemons = [self.collector(after=AWAY_SECONDS)]
        self.cluster.kill(self.nodes["n2"], "KILL")
        self.start_node("n2", after=2)

    def afterwards(self) -> None:
        """Until the nodes have sent all that they have, and the collector has told what it makes of it."""

        def sent() -> bool:
            return all(self.entries(node) == self.held(node) for node in NODES)

        self.cluster.until(sent, "the nodes to have sent their journals", 60)
        waiting = "SELECT count(*) FROM dirty_job"
        self.cluster.until(lambda: self.ask(waiting) == [["0"]], "the projection of what was sent", 60)

    def entries(self, node: str) -> int:
        """The last number of a node's journal."""
        ask = "SELECT max(seq) FROM journal_entry"
        return int(
            self.cluster.run(["sqlite3", "-readonly", "-cmd", ".timeout 5000", JOURNAL, ask], node=node).stdout or 0
        )

    def held(self, node: str) -> int:
        """Up to which the ledger has it."""
        ask = f"SELECT coalesce(max(held), -1) FROM node_journal WHERE node = '{node}' AND state = 'taken'"
        return int(self.ask(ask)[0][0])

    def sent_windows(self, node: str) -> list[list[str]]:
        """WINDOWS of those that a node has sent; the last ones wait for its next start."""
        entries = f"SELECT k1, k2 FROM journal_entry WHERE kind = 'usage_window' AND seq <= {self.held(node)}"
        return self.ask(f"{WINDOWS} WHERE (device, start_ms) IN ({entries})", node)

    def _end_daemons(self) -> None:
        """The collector stays, for the tests ask it."""
        daemons, self.daemons = self.daemons, list(self.nodes.values())
        super()._end_daemons()
        self.daemons = daemons
