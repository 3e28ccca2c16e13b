"""A ledger full of people. All that is of others has ``zq`` in its name: a search for it finds what leaks."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from slurm_gpucost.domain.evidence import AccountFact, AccountReport, DeviceReport, Poll, ReservationReport, SlotReport
from slurm_gpucost.domain.occupancy import DeviceProcess
from slurm_gpucost.domain.readings import Reading
from slurm_gpucost.domain.windows import Windower
from slurm_gpucost.ledger import accounts, asked, ingest, measured, projector, reports, tokens
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.ledger.tokens import Who
from slurm_gpucost.services import access_log
from slurm_gpucost.services.publishing import publish
from slurm_gpucost.settings import Settings, load
from slurm_gpucost.sources.identity import Identity
from tests.unit.builders import T0, accounting, config, hook

S = 1000
ONE = "gres/gpu:a100=1,gres/gpu=1"
NOW = T0 + 40 * 86_400 * S
MONTH = "2026-09"
"""T0's."""
START, END = f"uts{T0 // S - 1000}", f"uts{T0 // S + 100_000}"
ADMIN = Identity("zqadmin", 0, "zqhost", "/dev/pts/3")
_CONFIG = """
[[accounts]]
name = "zqlab"
contact = "zqchief@example.org"

[[accounts]]
name = "mine"
contact = "boss@example.org"

[[accounts]]
name = "zqidle"
contact = "zqchief@example.org"
"""


def crowd(place: Path) -> Settings:
    """mia has two jobs in account mine, where zqbert has one too; zqada and zqbert have others in zqlab."""
    path = config(place).path
    text = path.read_text().replace("bill_reservations = false", "bill_reservations = true") + _CONFIG
    path.write_text(text)
    settings = load(path)
    windower = Windower("GPU-zq")
    for second in range(0, 7_201, 60):
        at = T0 + second * S
        samples = tuple((at - ms, 0) for ms in range(59_000, -1, -1_000))
        windower.add(Reading("GPU-zq", at, 7 + second * 100 * S, samples, samples, temperature_c=50, epoch="boot"))
    rows = [
        accounting(0, 3600, job_id=1, user="zqada", account="zqlab", job_name="zqsecret", node_list="zqn1", tres=ONE),
        accounting(0, 1800, job_id=2, user="zqbert", account="zqlab", job_name="zqplan", node_list="zqn1", tres=ONE),
        accounting(0, 900, job_id=3, user="zqbert", account="mine", job_name="zqhere", wckey="zqkey", node_list="zqn2"),
        accounting(0, 7200, job_id=4, user="mia", account="mine", job_name="hello", node_list="n1"),
        accounting(0, 600, job_id=5, user="mia", account="mine", tres="gres/gpu:h300=1", node_list="n1"),
        accounting(0, 600, job_id=6, user="zqada", account="zqlab", tres="gres/gpu:zqkind=1", node_list="zqn1"),
        accounting(0, None, job_id=7, user="zqada", account="zqlab", partition="zqpart", qos="zqqos", node_list="zqn1"),
    ]
    hooks = [
        hook("prolog", 300, "0", node="zqn1", job_id=1, user="zqada", account="zqlab"),
        hook("epilog", 3_600_500, "0", node="zqn1", job_id=1, user="zqada", account="zqlab"),
        hook("prolog", 900, "1", node="zqn9", job_id=99, user="zqghost", account="zqhidden"),
    ]
    held = DeviceProcess("GPU-zq", "b", 4, 4, 4321, "zqthief", "zqminer", T0 + 4_000 * S, T0 + 7_000 * S, 10)
    kept = ReservationReport(
        "c", 5, T0, T0 + 9_000 * S, T0 + 8_000 * S, "zqresv", '["zqlab", "zqother"]', "4", "zqn1", "gres/gpu=1", ""
    )
    with open_ledger(settings.ledger) as ledger:
        with ledger.transaction() as db:
            ingest.add_accounting(db, rows)
            ingest.add_hooks(db, hooks)
            ingest.set_aside(db, "hooks", "/zqspool/zqfile", 3, "zqreason", b"zqcontent", T0)
            reports.add_devices(db, [DeviceReport("GPU-zq", b"d", T0, "zqn1", "A100", "", 0, 0, "", None, None, "550")])
            reports.add_slots(db, [SlotReport("c", "zqn1", "gpu", 0, "a100", "GPU-zq", T0)])
            reports.add_accounts(db, [AccountReport("c", "zqlab", T0, "zqdescription", "zqorg")])
            reports.add_accounts(db, [AccountReport("c", "mine", T0, "our work", "physics")])
            reports.add_reservations(db, [kept])
            facts = [AccountFact("", name, "tax_id", T0, T0, f"{name}-17", "/zqfiles/export.csv", 2) for name in
                     ("zqlab", "mine", "zqnever")]  # fmt: skip
            accounts.add_facts(db, facts, dated=True)
            measured.add_windows(db, windower.close(T0 + 7_200 * S))
            measured.add_processes(db, [held])
            tokens.issue(db, Who("c", "zqn1"), "zqtoken", T0, "zqadmin")
            asked.add_poll(db, Poll("sacct", "c", NOW - 60 * S, None, None, 1, 1, 1, 1, ""))
            asked.add_poll(db, Poll("scontrol", "c", NOW - 50 * S, None, None, 0, 0, 0, 0, "zqn1: zqdetail"))
        projector.bring_up_to_date(ledger, settings.shards)
        with ledger.transaction() as db:
            did = {"did": "token revoked", "params": "zqmore"}
            access_log.note(db, Identity("boss", 0, "admin1", "socket"), did, NOW, users=["mia", "zqada"], why="left")
            access_log.looked(db, Identity("zqeva", 9, "zqhost", "socket"), "rates_explain", {}, NOW)
            access_log.looked(db, Identity("mia", 4, "n1", "socket"), "config_history", {}, NOW)
        publish(settings, ledger, datetime.fromisoformat("2026-10-01"), ADMIN, "zqwhy", NOW - 86_400 * S)
    return settings
