"""Usage and findings from a ledger: what leases, idle time and gaps used adds up to the counter."""

from __future__ import annotations

from typing import Any

from slurm_gpucost.domain.evidence import DeviceReport, SlotReport
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.readings import Reading
from slurm_gpucost.domain.windows import Windower
from slurm_gpucost.ledger import ingest, measured, projector, reports
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import findings
from slurm_gpucost.services.jobs import Filter, jobs
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.reconcile import reconcile
from slurm_gpucost.services.usage import usage
from slurm_gpucost.settings import Settings
from tests.unit.builders import T0, accounting, hook

GPU = "GPU-a"
ONE = "gres/gpu:a100=1,gres/gpu=1"
END = 7_200
S = 1000


def measure(ledger: Ledger, *, gap: tuple[int, int] = (0, 0), busy: tuple[int, int] = (0, 0), cuts: Any = ()) -> int:
    """Two hours of 100 W, read every 10 s but for the gap; what the counter grew by. Busy: seconds at 80 percent."""
    windower = Windower(GPU)
    for second in range(0, END + 1, 10):
        at = T0 + second * S
        if not gap[0] < second < gap[1]:
            percent = 80 if busy[0] < second <= busy[1] else 0
            samples = tuple((at - ms, percent) for ms in range(9_000, -1, -1_000))
            reading = Reading(GPU, at, 7 + second * 100 * S, samples, samples, temperature_c=50, epoch="boot")
            windower.add(reading)
    for cut in cuts:
        windower.cut(T0 + cut)
    with ledger.transaction() as db:
        reports.add_devices(db, [DeviceReport(GPU, b"d", T0, "n1", "A100", "", 0, 0, "", None, None, "550")])
        reports.add_slots(db, [SlotReport("c", "n1", "gpu", 0, "a100", GPU, T0)])
        measured.add_windows(db, windower.close(T0 + END * S))
    return END * 100 * S


def take(ledger: Ledger, settings: Settings, *rows: Any) -> None:
    with ledger.transaction() as db:
        ingest.add_accounting(db, [r for r in rows if hasattr(r, "alloc_tres")])
        ingest.add_hooks(db, [r for r in rows if hasattr(r, "hook")])
        measured.add_processes(db, [r for r in rows if isinstance(r, DeviceProcess)])
    projector.bring_up_to_date(ledger, settings.shards)


def job(number: int, start: int, end: int, user: str = "ann", tres: str = ONE, **other: Any) -> list[Any]:
    row = accounting(start, end, tres=tres, job_id=number, user=user, **other)
    return [row, hook("prolog", start * S + 300, "0", job_id=number), hook("epilog", end * S + 500, "0", job_id=number)]


def test_leases_idle_and_the_gap_add_up_to_the_counter(settings: Settings, ledger: Ledger) -> None:
    total = measure(ledger, gap=(4_000, 5_000), cuts=(100_300, 1_000_500, 3_900_300, 6_000_500))
    take(ledger, settings, *job(1, 100, 1_000), *job(2, 3_900, 6_000, suspended=60))
    with open_queries(settings) as queries:
        found = usage(queries, T0, T0 + END * S).devices[GPU]
        assert found.total_mj == total
        drawn = {key[1:4:2]: used.energy_mj for key, used in found.leases.items()}
        assert drawn == {(1, 0): 90_000_000, (2, 0): 104_000_000, (2, 1): 6_000_000}, "its suspended minute is the last"
        assert found.unobserved == (100_000_000, 0)
        halves = [usage(queries, T0 + a * S, T0 + b * S).devices[GPU].total_mj for a, b in ((0, 4_500), (4_500, END))]
        assert sum(halves) == total
        (first, second) = jobs(settings, queries, Filter(T0, T0 + END * S))
    lease = first["leases"][0]
    assert (lease["energy_kwh"], lease["energy_coverage"], lease["energy_source"]) == ("0.025000", "1.000", "counter")
    assert (lease["energy_uncertainty_percent"], lease["utilization_percent"]) == ("5.0", "0.0")
    assert [lease["energy_coverage"] for lease in second["leases"]] == ["0.510", "1.000"]


def test_nothing_measured_is_null_and_no_zero(settings: Settings, ledger: Ledger) -> None:
    take(ledger, settings, *job(1, 100, 1_000))
    with open_queries(settings) as queries:
        lease = jobs(settings, queries, Filter(T0, T0 + END * S))[0]["leases"][0]
    keys = ["energy_kwh", "energy_source", "utilization_percent", "memory_mean_mib", "memory_peak_mib"]
    assert [lease[key] for key in keys] == [None] * 5


def test_shards_share_a_device_and_the_rest_is_idle(settings: Settings, ledger: Ledger) -> None:
    from tests.unit.builders import controller, shards

    measure(ledger)
    row = accounting(0, 1_000, tres="gres/shard:a100=1,gres/shard=1", job_id=7)
    take(ledger, settings, row)
    with ledger.transaction() as db:
        ingest.add_controller(db, [controller(3, [shards("n1", i0=1)], -5, 0)])
    projector.bring_up_to_date(ledger, settings.shards)
    with open_queries(settings) as queries:
        found = usage(queries, T0, T0 + 1_000 * S).devices[GPU]
    assert [used.energy_mj for used in found.leases.values()] == [25_000_000]
    assert found.idle.energy_mj == 75_000_000


def test_idle_leases_and_those_at_work(settings: Settings, ledger: Ledger) -> None:
    measure(ledger, busy=(0, 3_600), cuts=(100_300, 3_000_500, 3_700_300, 7_000_500))
    take(ledger, settings, *job(1, 100, 3_000), *job(2, 3_700, 7_000, "bob"), *job(3, 7_010, 7_100))
    with open_queries(settings) as queries:
        (found,) = findings.idle(settings, queries, T0, T0 + END * S)
    assert (found["job_id"], found["user"], found["device"]) == (2, "bob", GPU)
    assert 3_299 <= found["idle_seconds"] == found["gpu_idle_seconds"] <= found["observed_seconds"] == 3_300


def test_orphans(settings: Settings, ledger: Ledger) -> None:
    measure(ledger, busy=(1_200, 7_200), cuts=(1_000_500, 5_000_000))
    left = DeviceProcess(GPU, "b", 5, 5, 1000, "ann", "python", T0 + 200 * S, T0 + 3_000 * S, 1)
    intruder = left._replace(pid=6, uid=1001, user="bob", executable="miner", last_seen_ms=T0 + 900 * S)
    root = left._replace(pid=7, uid=0, user="root", executable="nv-hostengine", last_seen_ms=T0 + END * S)
    take(ledger, settings, *job(1, 100, 1_000), left, intruder, root)
    with open_queries(settings) as queries:
        found = findings.orphans(queries, T0, T0 + END * S)
    assert [
        (row["kind"], row["user"], row["executable"], row["start_ms"] - T0, row["end_ms"] - T0) for row in found
    ] == [
        ("foreign", "bob", "miner", 200_000, 900_000),
        ("system", "root", "nv-hostengine", 1_000_500, 7_200_000),
        ("unheld", "ann", "python", 1_000_500, 3_000_000),
    ]
    assert found[2]["energy_mj"] == (3_000_000 - 1_000_500) * 100
    assert found[2]["busy_ms"] > 0


def test_mig_leases_have_their_slices_of_the_gpu(settings: Settings, ledger: Ledger) -> None:
    total = measure(ledger)
    own = Windower("MIG-1")
    for second in range(0, END + 1, 10):
        own.add(Reading("MIG-1", T0 + second * S, memory_used_bytes=3 << 30))
    with ledger.transaction() as db:
        measured.add_layouts(db, [MigInstance(GPU, T0, "MIG-1", "3g.40gb", 1, 0, 3, 3, 7, 40192)])
        measured.add_windows(db, own.close(T0 + END * S))
        reports.add_slots(db, [SlotReport("c", "n2", "gpu", 0, "a100", "MIG-1", T0)])
    take(
        ledger,
        settings,
        accounting(0, 1_000, tres=ONE, job_id=1, node_list="n2"),
        hook("prolog", 300, "0", "n2", job_id=1),
    )
    with open_queries(settings) as queries:
        found = usage(queries, T0, T0 + END * S, ["MIG-1"]).devices[GPU]
        lease = jobs(settings, queries, Filter(T0, T0 + END * S))[0]["leases"][0]
    assert found.total_mj == total
    assert [used.energy_mj for used in found.leases.values()] == [100_000_000 * 3 // 7]
    assert (lease["device"], lease["memory_peak_mib"], lease["utilization_percent"]) == ("MIG-1", 3_072, None)
    assert lease["utilization_coverage"] == "0.000"


def test_reconciliation_lists_use_without_a_lease_and_leases_without_use(settings: Settings, ledger: Ledger) -> None:
    measure(ledger, busy=(2_000, 4_000), cuts=(4_200_300,))
    process = DeviceProcess(GPU, "boot", 4711, 1, 2009, "eve", "python3", T0 + 2_010 * S, T0 + 3_990 * S, 900)
    take(ledger, settings, *job(1, 4_200, 7_000), process)
    with open_queries(settings) as queries:
        answer = reconcile(settings, queries, T0, T0 + END * S, T0 + 10 * END * S)
    kinds = {category["category"]: category for category in answer["categories"]}
    orphan, unused = kinds["orphan use"], kinds["leased but unused"]
    assert "uid 2009 eve python3" in orphan["examples"][0]["detail"]
    assert 1_200 <= float(orphan["gpu_seconds"]) <= 2_000, "windows are cut at hooks and hours, and even in between"
    assert (orphan["closed_by"], bool(unused["closed_by"])) == (None, True)
    assert (unused["examples"][0]["job_id"], 2_600 <= float(unused["gpu_seconds"]) <= 2_800) == ("1", True)
