"""Faults on a real Slurm 24.11: after each, the ledger against sacct to the second, the jobs' devices, and every event."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from tests.cluster.fault_feeds import FEEDS, is_cut
from tests.cluster.fault_story import ACCOUNTING, CONTROLLER, HOOKS, MAIN, FaultStory
from tests.cluster.scenario import gpus, started
from tests.cluster.test_first_whole import by_key, from_ledger, from_sacct, held_devices, rows_by_key, saw

pytestmark = pytest.mark.cluster
Slots = dict[str, frozenset[int]]
LONG_ENOUGH = 6
"""Seconds after which a controller asked every 2 s must have named a job's devices."""
STAGES = ("pending", "starting", "running", "ending", "in epilog")


@pytest.fixture(scope="module")
def story(suite: str) -> Iterator[FaultStory]:
    """The whole matrix on 24.11; on the others what is known to bite there."""
    waves = FaultStory.WAVES if suite == "trixie" else ("slurmctld", "crash", "refused")
    feeds = tuple(FEEDS) if suite == "trixie" else ("backwards", "an hour ahead")
    with FaultStory(suite, waves, feeds) as played:
        yield played


def ran(attempts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what never had a start, or (22.05) a start that is its end and nothing held."""
    return [a for a in attempts if a["start"] is not None and (a["start"] != a["end"] or a["leases"])]


def named(attempt: dict[str, Any]) -> Slots:
    """The devices that the ledger names, by node; what it leaves open is not in it."""
    return {node: held for node, held in held_devices(attempt).items() if node is not None and None not in held}


def witnessed(story: FaultStory) -> dict[tuple[str, str], Slots]:
    """What the jobs themselves saw, by attempt."""
    return {k: {node: i for node, i in held.items() if i} for k, held in saw(story).items()}


def test_the_faults_were_what_they_say(story: FaultStory) -> None:
    """Each stage met each fault, and Slurm did what it is known to do, so that the other tests compare something."""
    states: dict[int, list[str]] = defaultdict(list)
    for row in sorted(story.rows, key=lambda row: int(row["Submit"])):
        states[int(row["JobIDRaw"])].append(row["State"].split()[0])
    jobs = story.packs.jobs
    for wave in story.waves:
        if wave != "refused":
            assert {(node, stage) for w, node, stage in jobs if w == wave} == {
                (n, s) for n in ("n1", "n2") for s in STAGES
            }
    for node in ("n1", "n2"):
        for stage in ("running", "ending", "starting"):
            assert states[jobs["crash", node, stage]] == ["NODE_FAIL", "COMPLETED"], (node, stage)
    assert states[jobs["refused", "n1", "refused"]][0] == "REQUEUED"
    assert states[jobs["refused", "n2", "refusedlate"]][0] == "REQUEUED"
    assert states[jobs["refused", "n1", "sick"]] == ["NODE_FAIL"]
    late = story.hooks["epilog", jobs["crash", "n2", "running"], "n2"]
    assert late, "n2 came back without a late epilog"


def test_the_ledger_equals_sacct_to_the_second(story: FaultStory) -> None:
    ledger = by_key(ran(story.jobs(MAIN)))
    assert {k: from_ledger(a) for k, a in ledger.items()} == {
        k: from_sacct(r) for k, r in rows_by_key(story.rows).items()
    }


def test_devices_are_those_that_the_jobs_saw(story: FaultStory) -> None:
    """Also where hooks never ran, or could not write: then the controller had told of them."""
    ledger = by_key(story.jobs(MAIN))
    told = {k: held_devices(ledger[k]) for k in witnessed(story)}
    bare = {str(job) for job in story.packs.of("no hooks")}
    for k, slots in witnessed(story).items():
        if k[0] in bare and int(rows_by_key(story.rows)[k]["ElapsedRaw"]) < LONG_ENOUGH:
            assert named(ledger[k]) in ({}, slots), k
            told.pop(k)
    assert told == {k: witnessed(story)[k] for k in told}


def test_no_device_is_let_twice_at_a_time(story: FaultStory) -> None:
    """Neither with late epilogs nor with runs elsewhere."""
    load: Counter[tuple[str, int, int]] = Counter()
    for attempt in story.jobs(MAIN):
        for lease in attempt["leases"]:
            if lease["node"] is not None:
                load.update((lease["node"], lease["index"], second) for second in range(lease["start"], lease["end"]))
    assert load
    assert {place: n for place, n in load.items() if n > 1} == {}


def test_no_event_is_lost_or_doubled(story: FaultStory) -> None:
    """Every run of a hook is one event in the ledger, but for those that a full spool kept from being written."""
    kept = Counter(map(kind_of, (content for _, content, _ in story.files)))
    unheard = {(hook, job) for hook in ("prolog", "epilog") for job in story.packs.of("no hooks")}
    assert events(story, HOOKS) == kept
    assert events(story, MAIN) == Counter({k: n for k, n in kept.items() if k[:2] not in unheard})
    # Ours run before the site's last script, which writes a line; a node that died may not have come to that.
    missing = story.hooks - kept
    assert not missing, f"hooks ran and left no event: {missing}"
    cut_off = {job for job in story.packs.of("crash")}
    assert {job for _, job, _ in kept - story.hooks} <= cut_off


def gpu_prologs(story: FaultStory) -> set[tuple[str, int, str]]:
    """(prolog, job, node) where one said which GPUs: what was pending when slurmctld restarted does not."""
    return {kind_of(content) for _, content, _ in story.files if b"\0SLURM_JOB_GPUS=" in content}


def kind_of(content: bytes) -> tuple[str, int, str]:
    """(hook, job, node) of an event file."""
    fields = dict(word.split("=", 1) for word in content.decode(errors="replace").split("\0") if "=" in word)
    return fields["HOOK"], int(fields["SLURM_JOB_ID"]), fields["NODE"]


def events(story: FaultStory, config: str) -> Counter[tuple[str, int, str]]:
    """(hook, job, node) of the events in a ledger."""
    rows = story.cluster.ask(story.ledger(config), "SELECT hook, job_id, node FROM hook_event")
    return Counter((hook, int(job), node) for hook, job, node in rows)


def test_accounting_alone_gives_the_time_without_devices(story: FaultStory) -> None:
    attempts = by_key(ran(story.jobs(ACCOUNTING)))
    assert {k: from_ledger(a) for k, a in attempts.items()} == {
        k: from_sacct(row) for k, row in rows_by_key(story.rows).items()
    }
    assert {lease["index"] for a in attempts.values() for lease in a["leases"]} == {None}


def test_the_controller_alone_names_devices_and_bills_nothing(story: FaultStory) -> None:
    """An attempt that it alone knows is held; where it was asked in time, start and devices are right."""
    attempts = by_key(story.jobs(CONTROLLER))
    assert {a["billable"] for a in attempts.values()} == {False}
    accounting = rows_by_key(story.rows)
    long = {k: slots for k, slots in witnessed(story).items() if int(accounting[k]["ElapsedRaw"]) >= LONG_ENOUGH}
    assert len(long) >= 2 * len(story.waves)
    assert {k: named(attempts[k]) for k in long} == long
    assert {k: attempts[k]["start"] for k in long} == {k: int(accounting[k]["Start"]) for k in long}


def test_hooks_alone_name_devices_and_bill_nothing(story: FaultStory) -> None:
    """Each run that had a prolog is one attempt of the job with its devices, held."""
    runs: dict[int, list[Slots]] = defaultdict(list)
    for (job, submit), slots in sorted(witnessed(story).items(), key=lambda item: int(item[0][1])):
        if all(("prolog", int(job), node) in gpu_prologs(story) for node in slots):
            runs[int(job)].append(slots)
    told: dict[int, list[Slots]] = defaultdict(list)
    for attempt in sorted(story.jobs(HOOKS), key=lambda a: a["start"] or a["submit"]):
        assert not attempt["billable"]
        told[int(attempt["job_id"])].append(named(attempt))
    assert len(runs) >= 10
    for job, slots in runs.items():
        assert [s for s in told[job] if s in slots] == slots, job


@pytest.mark.parametrize("feed", list(FEEDS))
def test_events_with_faults_move_no_time_and_name_no_wrong_device(story: FaultStory, feed: str) -> None:
    """Doubled, backwards, days late, cut short, from a wrong clock: what is billed stays, and nobody else's device is named."""
    if feed not in story.feeds:
        pytest.skip("this feed is played on 24.11 only")
    ledger = by_key(story.jobs(story.fed(feed)))
    billed = {k: from_ledger(a) for k, a in ledger.items() if a["billable"] and ran([a])}
    assert billed == {k: from_sacct(row) for k, row in rows_by_key(story.rows).items()}
    saw_ = witnessed(story)
    for k, slots in saw_.items():
        assert named(ledger[k]) in ({}, slots), f"{k}: {named(ledger[k])}, but the job saw {slots}"
    well = {int(k[0]) for k in saw_ if named(ledger[k])}
    told = prologs(story, feed)
    assert {int(k[0]) for k in saw_} & told <= well, "an event that was well named nothing"


def prologs(story: FaultStory, feed: str) -> set[int]:
    """Jobs each of whose runs had a prolog that named its GPUs and arrives whole and with the right time."""
    broken: set[int] = set()
    seen: Counter[int] = Counter()
    for position, (_, content, _) in enumerate(story.files):
        hook, job, node = kind_of(content)
        wrong_clock = ("ahead" in feed or "behind" in feed) and node == "n2"
        # What was pending when slurmctld restarted has no GPU variables in its prolog.
        if hook == "prolog" and b"\0SLURM_JOB_GPUS=" in content:
            seen[job] += 1
            if (feed == "truncated" and is_cut(position)) or wrong_clock:
                broken.add(job)
    rows = Counter(int(job) for job, _ in rows_by_key(story.rows))
    return {job for job, n in seen.items() if n == rows[job]} - broken


@pytest.mark.parametrize("feed", ["twice", "backwards", "truncated"])
def test_no_feed_loses_or_doubles_an_event(story: FaultStory, feed: str) -> None:
    if feed not in story.feeds:
        pytest.skip("this feed is played on 24.11 only")
    whole = [c for i, (_, c, _) in enumerate(story.files) if feed != "truncated" or not is_cut(i)]
    assert events(story, story.fed(feed)) == Counter(map(kind_of, whole))
    (kept_aside,) = story.cluster.ask(story.ledger(story.fed(feed)), "SELECT count(*) FROM set_aside")
    cut = {content[: len(content) * (i % 9) // 9] for i, (_, content, _) in enumerate(story.files) if is_cut(i)}
    assert int(kept_aside[0]) == (len(cut) if feed == "truncated" else 0)


def test_rebuild_makes_the_same_tables(story: FaultStory) -> None:
    cluster = story.cluster
    for config in (MAIN, *map(story.fed, story.feeds)):
        ledger = story.ledger(config)
        before = dump(story, ledger)
        assert before
        cluster.run(["gpucost", "rebuild", "--config", config])
        assert dump(story, ledger) == before, config


def dump(story: FaultStory, ledger: str) -> list[list[str]]:
    tables = "SELECT * FROM attempt ORDER BY 1, 2, 3; SELECT * FROM lease ORDER BY 1, 2, 3, 4, 5"
    return story.cluster.ask(ledger, tables)


def test_daemons_end_well_and_nodes_are_well(story: FaultStory) -> None:
    cluster = story.cluster
    assert set(cluster.node_states().items()) == {("n1", "idle"), ("n2", "idle")}
    for log in cluster.path("/var/log").glob("gpucostd-*.log"):
        text = log.read_text()
        assert "Traceback" not in text and "internal error" not in text, text


def test_time_is_whole(story: FaultStory) -> None:
    """What the ledger bills in all is what sacct says in all."""
    sums = [Fraction(a["gpu_seconds"]) for a in story.jobs(MAIN) if a["billable"]]
    rows = [int(row["ElapsedRaw"]) * gpus(row) for row in story.rows if started(row)]
    assert sum(sums) == sum(rows) > 0
