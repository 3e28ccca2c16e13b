"""A made-up cluster with made-up jobs, run a second at a time as Slurm 22.05 to 26.05 were seen to run them."""

from __future__ import annotations

from random import Random

from tests.histories.truth import T0, USERS, History, Hold, Job, Node, Outage, Part, Places, Run

_FATES = ("COMPLETED", "COMPLETED", "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "OUT_OF_MEMORY", "DEADLINE")
_AGAIN = ("REQUEUED", "REQUEUED", "PREEMPTED", "NODE_FAIL")
MOST_RUNS = 4


def history(seed: int, size: int, only: set[int] | None = None) -> History:
    """A history of about ``size`` jobs, or of those of them that are named."""
    rng = Random(f"fleet {seed}")
    version = rng.choice(["22.05", "24.11", "26.05"])
    ticks = min(3000, 150 + size * rng.randrange(20, 90))
    nodes = {node.name: node for node in (_node(rng, i, size) for i in range(1, rng.randrange(2, 4)))}
    uuids = rng.random() < 0.6
    made = History(
        seed, version, ticks, nodes, [], tracked=rng.random() < 0.7, alloc=rng.random() < 0.85, uuids=uuids,
        uuid_hooks=uuids and version == "26.05",
    )  # fmt: skip
    for i in range(size):
        job = _job(Random(f"job {seed} {i}"), 100 + i, made)
        if only is None or job.id in only:
            made.jobs.append(job)
    _Cluster(made).run()
    return made


def _node(rng: Random, number: int, size: int) -> Node:
    slots = rng.randrange(1, 5)
    types = rng.choice([["a100"] * slots, ["a100"] * slots, [""] * slots, ["a100"] * (slots // 2)])
    types = types + ["h100"] * (slots - len(types))
    shards = rng.choice([2, 4, 3]) if rng.random() < 0.35 and len(set(types)) == 1 else 0
    name = f"n{number}"
    cards = [[(0, f"GPU-{name}-{slot}-0")] for slot in range(slots)]
    return Node(name, types, shards, gang=not shards and size > 1 and rng.random() < 0.25, cards=cards)


def _job(rng: Random, number: int, made: History) -> Job:
    node = rng.choice(sorted(made.nodes))
    first = made.nodes[node]
    kind = "gang" if first.gang else "shard" if first.shards and rng.random() < 0.7 else "gpu"
    most = first.shards * len(first.types) if kind == "shard" else len(first.types)
    counts = [rng.randrange(1, most + 1) if kind == "gpu" else rng.randrange(1, min(most, 5) + 1)]
    if kind == "gpu" and rng.random() < 0.5:
        counts += [rng.randrange(1, 3) for _ in range(rng.randrange(1, 3))]
    user, account, uid = rng.choice(USERS)
    kinds = sorted(set(first.types))
    wanted = rng.choice(kinds) if kind == "gpu" and len(kinds) > 1 and rng.random() < 0.6 else ""
    submit = T0 + 20 + rng.randrange(max(1, made.ticks * 3 // 4))
    array = (number - number % 3, number % 3) if rng.random() < 0.2 else None
    return Job(number, user, account, uid, kind, counts, wanted, submit, array, rng, waits_from=submit)


def _resume(part: Part, t: int) -> None:
    began, _ = part.stops.pop()
    if began != t:
        part.stops.append((began, t))


class _Cluster:
    def __init__(self, made: History) -> None:
        self.made = made
        self.live: list[Run] = []
        self.waiting: list[Job] = sorted(made.jobs, key=lambda j: (j.submit, j.id))
        self.rng = Random(f"nodes {made.seed}")
        self.plans: dict[int, list[tuple[str, Node, int]]] = {}
        self.draining: dict[str, tuple[Node, int]] = {}
        for node in made.nodes.values():
            node.holds = [[] for _ in node.types]
            self._plan(node)

    def _plan(self, node: Node) -> None:
        rng, at = self.rng, T0 + 1
        if rng.random() < 0.15:
            at += rng.randrange(self.made.ticks // 2)
        node.closed = True
        self._at(at, "add", node, 0)
        while (at := at + rng.randrange(30, 900)) < self.made.end:
            what = rng.choice(["crash", "crash", "down", "drain", "drain", "maintenance", "power", "fail", "none"])
            length = rng.randrange(2, 200)
            self._at(at, what, node, length)
            at += length + 100
        if rng.random() < 0.1:
            self._at(at, "remove", node, 0)

    def _at(self, second: int, what: str, node: Node, length: int) -> None:
        self.plans.setdefault(second, []).append((what, node, length))

    def run(self) -> None:
        for t in range(T0, self.made.end):
            for what, node, length in self.plans.pop(t, []):
                getattr(self, "_" + what)(t, node, length)
            self._drain_those_that_are_free(t)
            for run in list(self.live):
                if not any(self.made.nodes[name].dead for name in run.last.places):
                    self._advance(t, run)
            for node in self.made.nodes.values():
                if node.gang:
                    self._take_turns(t, node)
            self._start_those_that_fit(t)

    # Nodes.

    def _add(self, t: int, node: Node, _: int) -> None:
        node.reports.append((t * 1000, True))
        node.closed = False

    def _remove(self, t: int, node: Node, _: int) -> None:
        if self._idle(t, node) and not node.closed:
            node.reports.append((t * 1000 + 17, False))
            node.closed = True

    def _none(self, t: int, node: Node, length: int) -> None: ...

    def _crash(self, t: int, node: Node, length: int) -> None:
        if node.closed:
            return
        node.dead = node.closed = True
        noticed = t + self.rng.randrange(1, 40)
        self._at(noticed, "lost", node, length)

    def _lost(self, t: int, node: Node, length: int) -> None:
        node.outages.append(Outage("down", "event", t, None))
        died = list(dict.fromkeys(h.run for holds in node.holds for h in holds if h.free_ms is None))
        for run in died:
            if run in self.live:
                self._end(t, run, "NODE_FAIL", again=run.job.rng.random() < 0.6)
        self._at(t + length, "returned", node, 0)
        late = self.rng.random() < 0.5
        node_back = (t + length) * 1000
        for run in died:
            if late:
                run.epilogs.setdefault(node.name, []).append(node_back + self.rng.randrange(10, 9000))
            self._free(run, node, node_back)

    def _returned(self, t: int, node: Node, _: int) -> None:
        node.dead = False
        self._open(t, node, 0)

    def _open(self, t: int, node: Node, _: int) -> None:
        self.draining.pop(node.name, None)
        for outage in node.outages:
            if outage.end is None:
                outage.end = t
        node.closed = False

    def _down(self, t: int, node: Node, length: int, class_: str = "down") -> None:
        if node.closed:
            return
        node.closed = True
        node.outages.append(Outage(class_, "event", t, None))
        for run in [run for run in self.live if node.name in run.last.places]:
            self._end(t, run, "NODE_FAIL", again=run.job.rng.random() < 0.6)
        self._at(t + length, "open", node, 0)
        self._at(t + length - 1, "replace", node, 0)

    def _replace(self, t: int, node: Node, _: int) -> None:
        if self.rng.random() < 0.5 and self._idle(t, node):
            slot = self.rng.randrange(len(node.types))
            node.cards[slot].append((t * 1000, f"GPU-{node.name}-{slot}-{len(node.cards[slot])}"))

    def _fail(self, t: int, node: Node, length: int) -> None:
        if self._idle(t, node):
            self._down(t, node, length, "failing")

    def _drain(self, t: int, node: Node, length: int) -> None:
        if not node.closed:
            node.closed = True
            self.draining[node.name] = (node, t)
            self._at(t + length, "open", node, 0)

    def _drain_those_that_are_free(self, t: int) -> None:
        for node, since in list(self.draining.values()):
            if self._idle(t, node):
                frees = [hold.free_ms or 0 for holds in node.holds for hold in holds]
                start = max([since, *(ms // 1000 for ms in frees)])
                node.outages.append(Outage("drained", "event", start, None))
                del self.draining[node.name]

    def _maintenance(self, t: int, node: Node, length: int) -> None:
        if self._idle(t, node) and not node.closed:
            node.closed = True
            node.outages.append(Outage("maintenance", f"reservation {t % 1000}", t, None))
            self._at(t + length, "open", node, 0)

    def _power(self, t: int, node: Node, length: int) -> None:
        if self._idle(t, node) and not node.closed:
            node.closed = True
            node.outages.append(Outage("powered_down", "event", t, None))
            if self.rng.random() < 0.5:  # a cloud node vanishes
                node.reports.append((t * 1000 + 400, False))
                self._at(t + length, "add", node, 0)
            self._at(t + length, "open", node, 0)

    def _idle(self, t: int, node: Node) -> bool:
        return not any(h.free_ms is None or h.free_ms > t * 1000 for holds in node.holds for h in holds)

    # Jobs.

    def _advance(self, t: int, run: Run) -> None:
        part, rng = run.last, run.job.rng
        assert run.stop_at is not None
        if t >= run.stop_at:
            again = run.fate in _AGAIN and run.number + 1 < MOST_RUNS and t > part.submit
            if part.is_stopped(t) and rng.random() < 0.5:  # resumed, then ended
                _resume(part, t)
            stopped = part.is_stopped(t)
            self._end(t, run, run.fate if not stopped or again else "CANCELLED", again)
        elif len(part.places) > 1 and t > part.submit and t > part.start and not part.stops and rng.random() < 0.05:
            self._shrink(t, run)
        elif run.job.kind != "gang" and part.first and len(run.parts) == 1 and rng.random() < 0.01:
            if part.is_stopped(t):
                _resume(part, t)
            elif t > part.start and not (part.stops and part.stops[-1][1] == t):
                part.stops.append((t, None))
        elif part.is_stopped(t) and run.job.kind != "gang" and rng.random() < 0.05:
            _resume(part, t)

    def _end(self, t: int, run: Run, state: str, again: bool) -> None:
        part, rng = run.last, run.job.rng
        part.end, part.known, part.state = t, t, state
        if part.is_stopped(t):  # seen on all versions: then End is when it was suspended
            began = part.stops.pop()[0]
            part.end = began
            run.prologs = {name: ms for name, ms in run.prologs.items() if ms < began * 1000 + 1000}
        real_ms = max(t * 1000 + rng.randrange(1000), run.began_ms + 80)
        for name in part.places:
            node = self.made.nodes[name]
            run.prologs = {n: ms for n, ms in run.prologs.items() if n != name or ms < real_ms}
            if not node.dead:
                self._epilog(run, node, real_ms)
        self.live.remove(run)
        if again and t > part.submit:
            run.requeued = True
            done = [ms for times in run.epilogs.values() for ms in times]  # until then the job is COMPLETING
            run.job.waits_from = max([t + rng.choice([0, 0, 1, 3, 120]), *(ms // 1000 for ms in done)])
            run.job.not_before_ms = max([0, *done])
            self.waiting.append(run.job)

    def _epilog(self, run: Run, node: Node, real_ms: int) -> None:
        rng = run.job.rng
        done = real_ms + (rng.randrange(10, 1000) if rng.random() < 0.9 else rng.randrange(1000, 60_000))
        again = self.made.version != "22.05" and rng.random() < 0.05  # there, whose it is can often not be told
        run.epilogs[node.name] = [done, done + rng.randrange(1000, 5000)] if again else [done]
        self._free(run, node, max(run.epilogs[node.name]))

    def _free(self, run: Run, node: Node, at_ms: int) -> None:
        for holds in node.holds:
            for hold in holds:
                if hold.run is run:
                    hold.free_ms = at_ms

    def _shrink(self, t: int, run: Run) -> None:
        part = run.last
        part.end, part.known, part.state = t, t, "RESIZING"
        names = list(part.places)
        kept = names[: run.job.rng.randrange(1, len(names))]
        run.parts.append(Part(t, t, {name: part.places[name] for name in kept}, first=False))
        for name in names[len(kept) :]:
            run.prologs = {n: ms for n, ms in run.prologs.items() if n != name or ms < t * 1000}
            self._epilog(run, self.made.nodes[name], max(t * 1000 + run.job.rng.randrange(500), run.began_ms + 80))

    def _take_turns(self, t: int, node: Node) -> None:
        here = [run for run in self.live if node.name in run.last.places]
        shared = len(here) == 2 and set(here[0].last.places[node.name]) & set(here[1].last.places[node.name])
        stopped = [run for run in here if run.last.is_stopped(t)]
        if not shared:
            for run in stopped:
                _resume(run.last, t)
        elif t % 20 == 0 and t > max(run.last.start for run in here) + 5:
            for run in here:
                if run in stopped:
                    _resume(run.last, t)
                else:
                    run.last.stops.append((t, None))

    def _start_those_that_fit(self, t: int) -> None:
        for job in list(self.waiting):
            if job.waits_from is None or job.waits_from > t:
                continue
            found = self._fit(t, job)
            if found is not None:
                self.waiting.remove(job)
                self._start(t, job, *found)

    def _fit(self, t: int, job: Job) -> tuple[Places, int] | None:
        start_ms = max(t * 1000 + job.rng.randrange(1000), job.not_before_ms + 1)
        places: Places = {}
        for count in job.counts:
            for node in self.made.nodes.values():
                if node.closed or node.name in places:
                    continue
                if node.gang != (job.kind == "gang") or (job.kind == "shard" and not node.shards):
                    continue
                found = self._slots(t, job, node, count)
                if found is not None:
                    places[node.name] = found
                    break
            else:
                return None
        for name, slots in places.items():
            for slot in slots:
                for hold in self.made.nodes[name].holds[slot]:
                    if hold.free_ms is not None:
                        start_ms = max(start_ms, hold.free_ms + 1)
        return (places, start_ms) if start_ms < (t + 1) * 1000 else None

    def _slots(self, t: int, job: Job, node: Node, count: int) -> dict[int, int] | None:
        used = [[h for h in holds if h.free_ms is None or h.free_ms >= (t + 1) * 1000 - 1] for holds in node.holds]
        if job.kind == "shard":
            taken: dict[int, int] = {}
            for slot, holds in enumerate(used):
                if any(h.run.job.kind != "shard" for h in holds):
                    continue
                room = min(count, node.shards - sum(h.units for h in holds))
                if room > 0:
                    taken[slot] = room
                    count -= room
            return taken if not count else None
        free = [s for s, holds in enumerate(used) if not holds and job.type in ("", node.types[s])]
        if job.kind == "gang":
            if sum(1 for run in self.live if node.name in run.last.places) > 1:
                return None
            ending = {s for s, holds in enumerate(used) if any(h.free_ms is not None for h in holds)}
            free = [s for s in range(len(used)) if s not in ending]
        job.rng.shuffle(free)
        return dict.fromkeys(sorted(free[:count]), 1) if len(free) >= count else None

    def _start(self, t: int, job: Job, places: Places, start_ms: int) -> None:
        rng = job.rng
        submit = job.submit
        if job.runs:
            before = job.runs[-1].last
            submit = before.known or before.submit + 1
        part = Part(submit, t, places)
        run = Run(job, len(job.runs), [part], start_ms)
        for name, slots in places.items():
            node = self.made.nodes[name]
            for slot, units in slots.items():
                sharing = [h for h in node.holds[slot] if h.free_ms is None]
                if job.kind == "gang" and sharing and not part.stops:
                    if not sharing[0].run.last.is_stopped(t):
                        part.stops.append((t, None))
                    else:
                        _resume(sharing[0].run.last, t)
                node.holds[slot] = [
                    *(h for h in node.holds[slot] if h.free_ms is None or h.free_ms > (t - 200) * 1000),
                    Hold(run, units, None),
                ]
            run.prologs[name] = start_ms + rng.randrange(10, 60)
        length = rng.choice(
            [0, 0, rng.randrange(1, 4), rng.randrange(3, 60), rng.randrange(20, 120), rng.randrange(60, 600)]
        )
        run.stop_at = t + length
        run.fate = rng.choice(_AGAIN if rng.random() < 0.25 else _FATES)
        if not self.made.alloc:
            for name in list(run.prologs)[rng.randrange(2) :]:
                run.prologs[name] += rng.randrange(1, length * 1000 + 2)
                if rng.random() < 0.3:
                    del run.prologs[name]
        elif self.made.version == "22.05" and run.number and rng.random() < 0.2:
            del run.prologs[rng.choice(list(run.prologs))]
        job.runs.append(run)
        job.waits_from = None
        self.live.append(run)
        if length == 0:
            self._advance(t, run)
