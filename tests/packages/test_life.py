"""Installed, used, upgraded under running hooks, removed and purged in a fresh Debian root."""

from __future__ import annotations

import re

import pytest

from tests.packages.built import NEW, OLD, REPOSITORY
from tests.packages.story import HOOKS, Story

pytestmark = pytest.mark.cluster
SERVED = pytest.mark.parametrize("story", ["trixie"], indirect=True)
"""bookworm's root has no systemd."""


def test_both_commands_are_there_and_complete(story: Story) -> None:
    assert story.versions == [f"gpucost {OLD}", f"gpucostd {OLD}"]
    assert "usage: gpucostd" in story.help
    assert "invoice" in story.completed.split()


def test_the_demo_plays_from_the_package(story: Story) -> None:
    assert "invoice --month" in story.demo and "Traceback" not in story.demo


def test_the_distributions_python_is_left_alone_and_cannot_be_swayed(story: Story) -> None:
    assert not story.leaks
    assert story.isolated.strip() == f"gpucost {OLD}"


def test_files_are_owned_as_they_have_to_be(story: Story) -> None:
    assert story.altered == ""
    assert set(story.modes) == {
        "1775 root:gpucost /run/gpucost",
        "700 root:root /run/gpucost/spool",
        "1770 root:gpucost /var/lib/gpucost",
        "700 root:root /var/backups/gpucost",
        "755 root:root /etc/gpucost",
        "755 root:root /etc/gpucost/hooks",
        "755 root:root /etc/gpucost/hooks/gpucost-prolog",
        "755 root:root /etc/gpucost/hooks/gpucost-epilog",
        "755 root:root /usr/bin/gpucost",
        "755 root:root /usr/bin/gpucostd",
    }


def test_a_hook_writes_its_event(story: Story) -> None:
    assert [line.split("/")[0] for line in story.events] == ["600 root "]
    assert story.events[0].split("/")[-1].startswith("prolog.7.")


def test_a_sites_own_prolog_can_call_it_or_do_without(story: Story) -> None:
    assert story.guarded.startswith("went on\n") and "prolog.9." in story.guarded


def test_hooks_are_whole_at_every_moment_of_killed_upgrades(story: Story) -> None:
    assert story.failed == ""
    assert story.seen == story.sums["old"] | story.sums["new"]
    assert len(story.seen) == 4


@pytest.mark.parametrize("hook", HOOKS)
def test_only_a_rename_of_what_is_on_the_disk_touches_a_hook(story: Story, hook: str) -> None:
    """So that no moment of a kill or a power cut leaves it missing or half: in whatever order processes are stopped."""
    made = hook.replace("gpucost-", ".gpucost-") + ".new"
    for trace in (story.laying, story.silencing):
        touching = [line for line in trace if f'"{hook}"' in line and not re.search("O_RDONLY|= -1 E", line)]
        assert len(touching) == 1 and re.search(rf'rename\w*\(.*"{re.escape(made)}".*"{hook}"', touching[0]), touching
        synced = [i for i, line in enumerate(trace) if "fsync(" in line and made in line]
        assert synced and synced[-1] < trace.index(touching[0])


def test_no_event_is_lost_in_upgrades(story: Story) -> None:
    assert story.ran > 100
    assert story.taken == story.ran


def test_the_upgrade_ends_in_the_new_version(story: Story) -> None:
    assert story.upgraded == [f"gpucost {NEW}", f"gpucostd {NEW}"]


def test_hooks_do_nothing_and_exit_0_after_removal_and_purge(story: Story) -> None:
    assert story.after_removal == story.after_purge == ["0", "0"]
    assert story.spooled == ""


def test_ledger_config_and_copies_outlive_the_purge(story: Story) -> None:
    assert story.kept[0] == story.kept[1]
    assert "ledger.db" in story.kept[0] and "gpucost.toml" in story.kept[0]


def test_nothing_else_is_left(story: Story) -> None:
    left = {path for path in story.left if not path.startswith(("/var/lib/gpucost/", "/var/backups/gpucost/"))}
    ours = {path for path in left if "gpucost" in path}
    hooks = {f"/etc/gpucost/hooks/gpucost-{name}" for name in ("prolog", "epilog")}
    drop_in = {f"/etc/systemd/system/gpucostd.service.d{name}" for name in ("", "/stand-in.conf")}
    kept = {"/etc/gpucost", "/etc/gpucost/hooks", "/etc/gpucost/gpucost.toml"}
    kept |= {"/var/lib/gpucost", "/var/backups/gpucost"}
    assert ours - drop_in == hooks | kept
    assert story.left_running == ""


def test_installing_again_brings_the_hooks_back(story: Story) -> None:
    assert story.again == story.sums["old"]


@SERVED
def test_nothing_is_started_that_is_not_configured(story: Story) -> None:
    assert story.served.resting == ["inactive", "inactive", "inactive"]


@SERVED
def test_the_collectors_unit_lets_it_do_its_work_and_no_more(story: Story) -> None:
    denied = {
        name: said for name, said in story.served.probed.items() if name not in ("listens", "writes", "asks", "calls")
    }
    uid = int(story.host.run("id -u gpucost").stdout)
    assert story.served.probed["listens"] == "0o666"
    assert story.served.probed["writes"] == "wal"
    assert story.served.probed["asks"] == uid
    assert story.served.probed["calls"] is True
    assert len(denied) == 8 and set(denied.values()) <= {"PermissionError", "OSError"}, denied


@SERVED
def test_the_units_are_sound_and_as_tight_as_the_page_says(story: Story) -> None:
    assert story.served.verified == ""
    page = (REPOSITORY / "docs/install.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| `([\w-]+)\.service` .*\| ([\d.]+) \|$", page, re.MULTILINE))
    assert shown == story.served.scores


@SERVED
def test_the_daemon_does_all_its_work_in_the_sandbox(story: Story) -> None:
    assert story.served.slots == "2"
    assert story.served.process == ["munge|dash"]
    assert story.served.rights == ["CapEff:", "0000000000080040", "NoNewPrivs:", "1", "Seccomp:", "2"]


@SERVED
def test_the_daemon_runs_after_killed_upgrades(story: Story) -> None:
    assert story.state == "active"


@SERVED
def test_the_newest_copies_stay(story: Story) -> None:
    assert len(story.served.copies) == 14
    assert [name.startswith("ledger-2025") for name in story.served.copies] == [True] * 12 + [False] * 2
