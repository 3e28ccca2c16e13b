"""The kinds of difference between witnesses: by which rule each is closed, or what a person must decide."""

from __future__ import annotations

from typing import NamedTuple


class Category(NamedTuple):
    """A kind of difference."""

    name: str
    means: str
    closed_by: str
    """The rule by which money and devices are settled all the same; '' where a person must decide."""
    todo: str
    """What a person should do about it; '' where nothing is needed."""


CATEGORIES = (
    Category(
        "partition", "a device's time does not add up to its existence", "", "`gpucost rebuild`; if it stays, report it"
    ),
    Category(
        "vanished from accounting",
        "the accounting had it as running and does not know it any more",
        "",
        "purged, or mended? billed up to when it was last named; see `sacctmgr show runawayjobs`",
    ),
    Category(
        "runs on a node that is down",
        "the accounting has it as running on a node that went down meanwhile",
        "",
        "a runaway job? `sacctmgr show runawayjobs`",
    ),
    Category(
        "suspended for longer than it ran",
        "the accounting books more suspension than there was time, so next to nothing is billed",
        "",
        "slurmdbd missed a suspension; what the job ran must be settled by hand",
    ),
    Category(
        "hooks alone",
        "hooks saw a job that the accounting does not know",
        "",
        "not billed; is slurmdbd behind, or the cluster's name another?",
    ),
    Category(
        "controller alone",
        "the controller had a job that the accounting does not know",
        "",
        "not billed; did slurmctld drop records (MaxDBDMsgs)?",
    ),
    Category(
        "oversubscribed",
        "leases take more of a device than there is",
        "",
        "Slurm 22.05 lets a whole GPU while a shard is held; else look at the jobs",
    ),
    Category(
        "slot not in the inventory",
        "a job held a GRES index that the node does not have",
        "",
        "does gres.conf differ from what the controller knows?",
    ),
    Category(
        "capacity differs from the config",
        "the config has another number of devices than the inventory",
        "the inventory's number is the capacity",
        "mend `devices` in the config",
    ),
    Category("set aside", "rows or files that could not be read", "", "table set_aside has them whole"),
    Category(
        "devices disagree",
        "prolog and controller named different slots of a node",
        "the prolog's are taken: it runs on the node itself",
        "",
    ),
    Category(
        "no device named",
        "no witness told which devices a job held",
        "billed all the same: the quantity is the accounting's",
        "",
    ),
    Category(
        "prolog missing",
        "a node with hooks sent no prolog",
        "times are the accounting's, devices the controller's or the epilog's",
        "",
    ),
    Category(
        "epilog missing",
        "a node with hooks sent no epilog",
        "the end is the accounting's",
        "",
    ),
    Category(
        "prolog far from start",
        "a prolog ran more than a minute after Start, or before it",
        "billed time is the scheduler's",
        "a slow prolog before ours, or a node's clock that is wrong",
    ),
    Category(
        "epilog far from end",
        "an epilog ran more than ten minutes after End, or before it",
        "billed time is the scheduler's; until the epilog the device is completing",
        "a node that was away, processes that do not die, or a clock that is wrong",
    ),
    Category(
        "suspension inferred",
        "nobody saw when a job was suspended",
        "its length is the accounting's, placed at the attempt's end",
        "",
    ),
    Category("orphan use", "a device worked, or had processes, while nobody held it", "", "who runs outside of Slurm?"),
    Category(
        "leased but unused",
        "a device was held and stayed below the threshold of use",
        "billed as held",
        "tell the user",
    ),
)
"""In the order in which they are shown: first what a person must decide."""
