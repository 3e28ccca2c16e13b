"""Faults on a real Slurm: after each, the ledger against sacct to the second, the jobs' devices, and every event."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from tests.cluster.fault_compare import Key, Slots, key, named, of_ledger, of_sacct, saw
from tests.cluster.fault_feeds import FEEDS, is_cut
from tests.cluster.fault_story import ACCOUNTING, CONTROLLER, HOOKS, MAIN, FaultStory
from tests.cluster.scenario import gpus, started

pytestmark = pytest.mark.cluster
LONG_ENOUGH = 6
"""Seconds after which a controller asked every 2 s must have named a job's devices."""
STAGES = ("pending", "starting", "running", "ending", "in epilog")


@pytest.fixture(scope="module")
def story(suite: str) -> Iterator[FaultStory]:
    """The whole matrix on 24.11; on the others what is known to bite there.

    slurmctld last: restarted, 22.05 loses count of GPUs ("gres count underflow") and may start no GPU job any more.
    """
    waves = FaultStory.WAVES if suite == "trixie" else ("crash", "refused", "slurmctld")
    feeds = tuple(FEEDS) if suite == "trixie" else ("backwards", "an hour ahead")
    with FaultStory(suite, waves, feeds) as played:
        yield played


def witnessed(story: FaultStory) -> dict[Key, Slots]:
    """What the jobs themselves saw, by attempt."""
    return saw(story.rows, story.seen)


def attempts(story: FaultStory, config: str) -> dict[Key, dict[str, Any]]:
    """What a ledger has, by attempt."""
    return {key(attempt): attempt for attempt in story.jobs(config)}


def seconds(story: FaultStory) -> dict[Key, int]:
    """How long each attempt ran."""
    return {(row["JobIDRaw"], row["Submit"]): int(row["ElapsedRaw"]) for row in story.rows}


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
        assert states[jobs["crash", node, "running"]] == ["NODE_FAIL", "COMPLETED"], node
    assert states[jobs["refused", "n1", "refused"]][0] == "REQUEUED"
    assert states[jobs["refused", "n2", "refusedlate"]][0] == "REQUEUED"
    assert states[jobs["refused", "n1", "sick"]] == ["NODE_FAIL"]
    late = story.hooks["epilog", jobs["crash", "n2", "running"], "n2"]
    assert late, "n2 came back without a late epilog"


def test_the_ledger_equals_sacct_to_the_second(story: FaultStory) -> None:
    assert of_ledger(story.jobs(MAIN)) == of_sacct(story.rows)


def test_devices_are_those_that_the_jobs_saw(story: FaultStory) -> None:
    """Also where hooks never ran, could not write or were not told: then the controller was asked in time."""
    ledger, saw_, long, heard = attempts(story, MAIN), witnessed(story), seconds(story), gpu_prologs(story)
    bare = story.packs.of("no hooks")
    unheard = {k for k, held in saw_.items() if any(("prolog", int(k[0]), node) not in heard for node in held)}
    short = {k for k in saw_ if long[k] < LONG_ENOUGH and (k in unheard or int(k[0]) in bare)}
    short |= late_prologs(story)
    assert all(named(ledger[k]) in ({}, saw_[k]) for k in short)
    assert {k: named(ledger[k]) for k in saw_ if k not in short} == {k: s for k, s in saw_.items() if k not in short}


def test_a_prolog_that_a_cut_off_node_ran_late_takes_no_device_from_the_rerun(story: FaultStory) -> None:
    ledger, saw_ = attempts(story, MAIN), witnessed(story)
    assert {k: named(ledger[k]) for k in late_prologs(story)} == {k: saw_[k] for k in late_prologs(story)}


def late_prologs(story: FaultStory) -> set[Key]:
    """Runs elsewhere of what had been starting on the node that was cut off, where hooks do not tell a run's start."""
    job = story.packs.jobs["crash", "n2", "starting"]
    told = any(b"\0SLURM_JOB_START_TIME=" in content for _, content, _ in story.files)
    return set() if told else {k for k in witnessed(story) if k[0] == str(job)}


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
    assert events(story, HOOKS) == kept
    unheard, torn = set(story.packs.of("no hooks")), cut_between_scripts(story)
    main = events(story, MAIN)
    assert without(main, torn) == without(Counter({k: n for k, n in kept.items() if k[1] not in unheard}), torn)
    assert max(main.values()) == 1
    # Ours run before the site's last script, which writes a line: who wrote one has left an event.
    missing = story.hooks - kept
    assert not missing, f"hooks ran and left no event: {missing}"
    assert without(kept, torn) == without(story.hooks, torn)


def cut_between_scripts(story: FaultStory) -> set[int]:
    """Jobs on whose node slurmd was killed: of several scripts the first may have run and the others not."""
    killed = [("slurmd", "n2"), ("crash", "n1"), ("crash", "n2")]
    return {job for (wave, node, _), job in story.packs.jobs.items() if (wave, node) in killed}


def without(counts: Counter[tuple[str, int, str]], jobs: set[int]) -> Counter[tuple[str, int, str]]:
    """What is not of these jobs."""
    return Counter({k: n for k, n in counts.items() if k[1] not in jobs})


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
    told = story.jobs(ACCOUNTING)
    assert of_ledger(told) == of_sacct(story.rows)
    assert {lease["index"] for attempt in told for lease in attempt["leases"]} == {None}


def test_the_controller_alone_names_devices_and_bills_nothing(story: FaultStory) -> None:
    """An attempt that it alone knows is held; where it was asked in time, start and devices are right."""
    told, accounting = attempts(story, CONTROLLER), of_sacct(story.rows)
    assert not any(attempt["billable"] for attempt in told.values())
    saw_ = {k: slots for k, slots in seen_by_controller(story).items() if k[0] not in ran_twice(story)}
    assert len(saw_) >= 2 * len(story.waves)
    # What ran over its own restart 22.05 at times shows without GRES: then no device is named, and no wrong one.
    away = {str(job) for (wave, _, _), job in story.packs.jobs.items() if wave == "slurmctld"}
    missed = {k for k in saw_ if k[0] in away and not named(told[k])}
    assert {k: named(told[k]) for k in saw_.keys() - missed} == {k: saw_[k] for k in saw_.keys() - missed}
    assert len(saw_) - len(missed) >= len(story.waves)
    assert {k: told[k]["start"] for k in saw_} == {k: accounting[k][0] for k in saw_}


def test_the_controller_alone_tells_runs_apart(story: FaultStory) -> None:
    told = attempts(story, CONTROLLER)
    saw_ = {k: slots for k, slots in seen_by_controller(story).items() if k[0] in ran_twice(story)}
    assert saw_
    assert {k: named(told[k]) for k in saw_} == saw_


def ran_twice(story: FaultStory) -> set[str]:
    """Jobs of more than one run."""
    runs = Counter(job for job, _ in of_sacct(story.rows))
    return {job for job, n in runs.items() if n > 1}


def seen_by_controller(story: FaultStory) -> dict[Key, Slots]:
    """The devices of attempts so long that the controller was asked meanwhile."""
    long = seconds(story)
    return {k: slots for k, slots in witnessed(story).items() if long[k] >= LONG_ENOUGH}


def test_hooks_alone_name_devices_and_bill_nothing(story: FaultStory) -> None:
    """Each run whose prologs named its GPUs is one attempt of the job with these devices, held."""
    told = story.jobs(HOOKS)
    assert not any(attempt["billable"] for attempt in told)
    once = {job: slots for job, slots in seen_by_hooks(story).items() if str(job) not in ran_twice(story)}
    assert len(once) >= 10
    assert {job: by_hooks(told, job) for job in once} == once


def test_hooks_alone_tell_runs_apart(story: FaultStory) -> None:
    twice = {job: slots for job, slots in seen_by_hooks(story).items() if str(job) in ran_twice(story)}
    assert twice
    told = story.jobs(HOOKS)
    assert {job: [s for s in by_hooks(told, job) if s in slots] for job, slots in twice.items()} == twice


def by_hooks(told: list[dict[str, Any]], job: int) -> list[Slots]:
    """The devices of a job's attempts, in order of time; an epilog alone has no start."""
    mine = sorted((a for a in told if int(a["job_id"]) == job), key=lambda a: int(a["start"] or a["end"]))
    return [named(attempt) for attempt in mine]


def seen_by_hooks(story: FaultStory) -> dict[int, list[Slots]]:
    """The devices of each run of a job of which a prolog named them."""
    heard = gpu_prologs(story)
    runs: dict[int, list[Slots]] = defaultdict(list)
    for (job, _), slots in sorted(witnessed(story).items(), key=lambda item: int(item[0][1])):
        if all(("prolog", int(job), node) in heard for node in slots):
            runs[int(job)].append(slots)
    return runs


@pytest.mark.parametrize("feed", list(FEEDS))
def test_events_with_faults_move_no_time_and_name_no_wrong_device(story: FaultStory, feed: str) -> None:
    """Doubled, backwards, days late, cut short, from a wrong clock: what is billed stays, no wrong device named."""
    if feed not in story.feeds:
        pytest.skip("this feed is played on 24.11 only")
    told = story.jobs(story.fed(feed))
    assert of_ledger(a for a in told if a["billable"]) == of_sacct(story.rows)
    ledger, saw_ = {key(a): a for a in told}, witnessed(story)
    assert {k: named(ledger[k]) for k, s in saw_.items() if named(ledger[k]) not in ({}, s)} == {}
    unnamed = {int(k[0]) for k in saw_ if not named(ledger[k]) and k not in late_prologs(story)}
    assert not unnamed & prologs(story, feed), "an event that was well named nothing"


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
    rows = Counter(int(job) for job, _ in of_sacct(story.rows))
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
    """Attempts, leases and time of devices; without the number of the holder, which is as they came."""
    (columns,) = story.cluster.ask(
        ledger, "SELECT group_concat(name) FROM pragma_table_info('lease') WHERE name <> 'holder'"
    )
    tables = f"SELECT * FROM attempt ORDER BY 1, 2, 3; SELECT {columns[0]} FROM lease ORDER BY 2, 3, 4, 5"
    return story.cluster.ask(ledger, f"{tables}; SELECT * FROM device_time ORDER BY 1, 2, 3, 4, 5, 6")


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


def test_every_devices_time_is_in_one_state(story: FaultStory) -> None:
    """gpucost's own check, over all that happened: leased, idle and unavailable sum to what existed."""
    words = ["gpucost", "reconcile", "-S", "now-1hour", "-E", "now", "--config", MAIN, "--json"]
    found = json.loads(story.cluster.run(words, check=False).stdout)
    assert [category for category in found["categories"] if category["category"] == "partition"] == []


def test_nodes_were_out_of_use_when_the_accounting_says_so(story: FaultStory) -> None:
    """Each node's unavailable time is that of its events, but for what was leased then; both nodes were down."""
    cluster = story.cluster
    told = cluster.run(
        "sacctmgr -nP show event event=node start=uts1577836800 end=now+1hour format=NodeName,Start,End",
        env={"SLURM_TIME_FORMAT": "%s"},
    ).stdout
    down = {(node, s) for node, a, b in (line.split("|") for line in told.splitlines()) for s in range(int(a), int(b))}
    where = "FROM device_time WHERE state = 'unavailable' AND gres_index >= 0"
    rows = cluster.ask(story.ledger(MAIN), f"SELECT node, gres_index, start_ms, end_ms {where}")
    ours = {(n, int(i), s) for n, i, a, b in rows for s in range(int(a) // 1000, int(b) // 1000)}
    assert {(n, s) for n, _, s in ours} <= down
    held = {
        (lease["node"], lease["index"], s)
        for attempt in story.jobs(MAIN)
        for lease in attempt["leases"]
        for s in range(lease["start"], lease["end"])
    }
    begun = {n: min(int(a) // 1000 + 1 for m, _, a, _ in rows if m == n) for n, _ in down}
    wanted = {(n, i, s) for n, s in down for i in range(4) if s >= begun[n]} - held
    assert wanted <= ours
    assert {n for n, _ in down} == {"n1", "n2"}
    assert len(down) > 10
