"""Faults that take long on a real Slurm, and faults at random: ``pytest tests/soak/test_cluster_faults.py -m soak``."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.cluster.conftest import suite
from tests.cluster.fault_compare import key, named, of_ledger, of_sacct, saw
from tests.cluster.fault_site import at
from tests.cluster.fault_story import MAIN, FaultStory
from tests.cluster.workload import batch

__all__ = ["suite"]
pytestmark = [pytest.mark.soak, pytest.mark.cluster]
DAEMONS = ("slurmctld", "slurmdbd", "slurmd-n1", "slurmd-n2", "mariadbd", "gpucostd")
ROUNDS = int(os.environ.get("SOAK_ROUNDS", "20"))


class Soak(FaultStory):
    """More waves: state that slurmctld had not saved, a slurmd that is missed only after its timeout, chance."""

    WAVES: tuple[str, ...] = ("database", "slurmctld killed", "not responding", *(f"chance {n}" for n in range(ROUNDS)))

    def wave_not_responding(self, wave: str) -> None:
        """Nobody sets n1 down: slurmctld finds out by itself, and n1 comes back with a late epilog."""
        cluster = self.cluster
        self.packs.job(wave, "n1", "running", batch("saw batch 120"), "--no-requeue")
        cluster.wait_state(self.packs.jobs[wave, "n1", "running"], "RUNNING")
        time.sleep(2)
        cluster.run("sed -i '/^SlurmdTimeout=/d' /etc/slurm/slurm.conf; echo SlurmdTimeout=20 >>/etc/slurm/slurm.conf")
        cluster.scontrol("reconfigure")
        cluster.freeze("n1", self.packs.of(wave))
        cluster.until(lambda: cluster.node_states().get("n1", "").startswith("down"), "n1 to be missed", 200)
        cluster.freeze("n1", self.packs.of(wave), "CONT")
        cluster.resume("n1")
        self.settle(wave)

    def wave_chance(self, wave: str) -> None:
        """A pack on each node, and one to three daemons away for a while, by TERM or KILL."""
        chance = random.Random(f"{os.environ.get('SOAK_SEED', '1')} {wave}")
        fault = self.packs.submit(wave, "n1", "n2")
        down = chance.sample(DAEMONS, chance.randint(1, 3))
        for daemon in down:
            at(fault + chance.uniform(-3, 3))
            if daemon == "gpucostd":
                self.cluster.kill(self.daemons[MAIN], "KILL")
            else:
                self.cluster.stop(daemon, chance.choice(("TERM", "KILL")))
        time.sleep(chance.uniform(0, 6))
        for daemon in chance.sample(down, len(down)):
            if daemon == "gpucostd":
                self.daemons[MAIN] = self._daemon(MAIN)
            else:
                self.cluster.start(daemon)
        self.mend(wave, 240, lost=True)
        self.settle(wave)

    def play_wave(self, wave: str) -> None:
        if wave.startswith("chance"):
            self.wave_chance(wave)
        else:
            super().play_wave(wave)


def test_nothing_moves_whatever_fails(suite: str) -> None:
    """The ledger is what sacct says in the end, names no wrong device, and has each event once."""
    with Soak(suite, Soak.WAVES, feeds=()) as story:
        told = story.jobs(MAIN)
        assert of_ledger(a for a in told if a["billable"]) == of_sacct(story.rows)
        ledger, saw_ = {key(a): a for a in told}, saw(story.rows, story.seen)
        # What slurmctld started twice and booked once is left out: nobody can say which run the row is.
        forgot = {job for (_, job, _), n in story.hooks.items() if n > 1}
        wrong = {
            k: named(ledger[k]) for k, s in saw_.items() if int(k[0]) not in forgot and named(ledger[k]) not in ({}, s)
        }
        assert wrong == {}
        (counts,) = story.cluster.ask(
            story.ledger(MAIN),
            "SELECT count(*), (SELECT count(*) FROM set_aside), (SELECT count(*) FROM dirty_job) FROM hook_event",
        )
        assert counts == [str(len(story.files)), "0", "0"]
