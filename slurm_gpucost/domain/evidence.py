"""Evidence: one thing a witness said, in parsed columns. Append-only; never edited.

Times are milliseconds UTC; None means that the witness did not say. ``digest`` is made of the content without
the time of looking, so what a witness repeats unchanged is one piece of evidence, whoever brings it and when.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

DIGEST_BYTES = 8
"""Digests only tell apart what was said of one job; 64 bits are plenty for that."""


def digest_of(*parts: object) -> bytes:
    """Digest of the parts; None, '' and 0 differ."""
    return blake2b(repr(parts).encode(), digest_size=DIGEST_BYTES).digest()


class AccountingRow(NamedTuple):
    """One row of ``sacct -D -X``. Its key is (cluster, job_id, submit_ms): slurmdbd's own unique index."""

    cluster: str
    job_id: int
    """JobIDRaw."""
    submit_ms: int
    digest: bytes
    observed_at_ms: int
    db_index: str | None
    """DBIndex as text: since 24.11 it can exceed signed 64 bits."""
    user: str
    account: str
    partition: str
    qos: str
    wckey: str
    job_name: str
    array_job_id: int | None
    array_task_id: int | None
    het_job_id: int | None
    het_offset: int | None
    state: str
    """Slurm's state word alone, e.g. ``CANCELLED``."""
    cancelled_by: int | None
    """The uid of ``CANCELLED by UID``."""
    exit_code: str
    eligible_ms: int | None
    start_ms: int | None
    """None: never ran."""
    end_ms: int | None
    """None: has not ended."""
    elapsed_ms: int | None
    """ElapsedRaw, net of suspension; None while the attempt has not ended."""
    suspended_ms: int
    node_count: int
    node_list: str
    alloc_tres: str
    reservation: str


class HookEvent(NamedTuple):
    """What one run of the prolog or epilog wrote, on one node."""

    cluster: str
    job_id: int
    digest: bytes
    """Of the event file's whole content: boot id, pid and uptime are in it, so a copy is no second event."""
    hook: str
    """``prolog`` or ``epilog``."""
    node: str
    at_ms: int
    """The event file's modification time, the earliest seen."""
    boot_id: str
    uptime: str
    pid: int
    uid: int | None
    user: str
    account: str
    partition: str
    restart_count: int | None
    job_start_ms: int | None
    """SLURM_JOB_START_TIME (24.11 and later)."""
    job_gpus: str | None
    """SLURM_JOB_GPUS: node-local GRES indexes."""
    visible_devices: str | None
    """CUDA_VISIBLE_DEVICES."""
    exit_code: str | None


class NodeGres(NamedTuple):
    """What a job holds of one GRES on one node, as the controller says (``scontrol show job -d``)."""

    node: str
    name: str
    type: str
    units: tuple[tuple[int, int], ...]
    """(index, units): one unit a GPU; as many as it has shards of it for ``shard``, 0 where unsaid."""


class ControllerRow(NamedTuple):
    """One job of ``scontrol show job -d``."""

    cluster: str
    job_id: int
    submit_ms: int
    digest: bytes
    observed_at_ms: int
    state: str
    user: str
    account: str
    partition: str
    start_ms: int | None
    end_ms: int | None
    """Only of a job that has ended: before, the controller prints the limit's end."""
    gres: str
    """JSON: [[node, name, type, [[index, units], ...]], ...], sorted."""
    suspend_ms: int | None = None
    """SuspendTime: when the job was last suspended or, if it runs again, resumed."""
    ran_ms: int = 0
    """SecsPreSuspend: how long it had run, net of suspension, when it was last suspended."""


def encode_gres(gres: Iterable[NodeGres]) -> str:
    """The text form that ``ControllerRow.gres`` keeps; order does not matter."""
    rows = sorted((g.node, g.name, g.type, sorted(g.units)) for g in gres)
    return json.dumps(rows, separators=(",", ":"))


def decode_gres(text: str) -> list[NodeGres]:
    """The inverse of :func:`encode_gres`."""
    return [NodeGres(n, name, kind, tuple((i, u) for i, u in units)) for n, name, kind, units in json.loads(text)]


class SlotReport(NamedTuple):
    """A node's report that a GRES index is this device, first seen at ``observed_at_ms``."""

    cluster: str
    node: str
    gres_name: str
    gres_index: int
    gres_type: str
    device: str
    """UUID, or '' where no driver told it."""
    observed_at_ms: int


class DeviceReport(NamedTuple):
    """What the driver said of a device."""

    device: str
    digest: bytes
    observed_at_ms: int
    host: str
    model: str
    serial: str
    minor: int | None
    nvml_index: int
    pci_bus_id: str
    memory_bytes: int | None
    mig_mode: int | None
    driver_version: str


class NodeReport(NamedTuple):
    """What the controller's configuration says that a node has, from ``observed_at_ms`` on."""

    cluster: str
    node: str
    observed_at_ms: int
    gres: str
    """GPU GRES in Slurm's words, ``gpu:a100:4,shard:16``; '' where the controller no longer lists the node."""


class AccountReport(NamedTuple):
    """What sacctmgr says of an account, from ``observed_at_ms`` on; None where it does not list it any more."""

    cluster: str
    account: str
    observed_at_ms: int
    description: str | None
    organization: str | None


class UserReport(NamedTuple):
    """What slurmdbd says of a user's admin level, from ``observed_at_ms`` on; None: he is a user like others."""

    cluster: str
    user: str
    observed_at_ms: int
    admin_level: str | None
    """Operator or Administrator."""


class CoordinatorReport(NamedTuple):
    """Whether a user coordinates an account, from ``observed_at_ms`` on."""

    cluster: str
    user: str
    account: str
    observed_at_ms: int
    coordinates: int


class AssociationReport(NamedTuple):
    """Where an account stands (``user`` ''), or that a user is a member of it, from ``observed_at_ms`` on."""

    cluster: str
    user: str
    account: str
    observed_at_ms: int
    parent: str
    """'' of the root, and of users."""
    listed: int


class PrivacyReport(NamedTuple):
    """What Slurm's PrivateData hides, from ``observed_at_ms`` on."""

    cluster: str
    observed_at_ms: int
    private_data: str
    """Words with commas between, sorted; '' for none."""


class AccountFact(NamedTuple):
    """What an imported file says of an account, from ``from_ms`` on."""

    cluster: str
    """'': on all of them."""
    account: str
    field: str
    from_ms: int
    imported_at_ms: int
    value: str
    """'': takes back what an earlier file said."""
    file: str
    line: int


class NodeEvent(NamedTuple):
    """A time in which a node was not to be used, as the accounting said at ``observed_at_ms``.

    Key: (cluster, node, source, start_ms); slurmdbd can change a row, so each change is kept.
    """

    cluster: str
    node: str
    source: str
    """``event``: slurmdbd's node events. ``reservation ID``: a maintenance reservation."""
    start_ms: int
    observed_at_ms: int
    end_ms: int | None
    """None: lasts."""
    class_: str
    """As in :mod:`slurm_gpucost.domain.outages`."""
    state: str
    """Slurm's word, e.g. ``DRAIN``."""
    reason: str
    user: str
    """Who set it."""


class ReservationReport(NamedTuple):
    """A stretch of a reservation in which nothing of it changed, as slurmdbd said at ``observed_at_ms``.

    Key: (cluster, id, start_ms); the end of what lasts is a plan, so each change is kept.
    """

    cluster: str
    id: int
    start_ms: int
    observed_at_ms: int
    end_ms: int
    name: str
    """'' where it cannot be told from the text of others."""
    accounts: str
    """JSON: the accounts of its associations, sorted, each once; '' among them for an association that is not known."""
    associations: str
    """Their ids in slurmdbd, as it prints them: ``4,6``."""
    nodes: str
    """A hostlist."""
    tres: str
    """``cpu=16,gres/gpu=2``: of whole nodes the CPUs alone."""
    flags: str
    listed: int = 1
    """0: slurmdbd has it no more; then ``end_ms`` is when it was last there."""


class NodeCpus(NamedTuple):
    """How many CPUs a node has (CPUTot), from ``observed_at_ms`` on."""

    cluster: str
    node: str
    observed_at_ms: int
    cpus: int


class Poll(NamedTuple):
    """That a witness was asked, and what came of it. Running attempts count up to the last good current poll."""

    witness: str
    cluster: str
    observed_at_ms: int
    window_start_ms: int | None
    window_end_ms: int | None
    rows: int
    new_rows: int
    ok: int
    current: int
    """1: the reply tells the state of all that was running at ``observed_at_ms``."""
    detail: str
