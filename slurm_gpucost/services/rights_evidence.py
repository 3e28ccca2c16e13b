"""Rights in Slurm as evidence: what a whole answer does not say any more is gone from then on."""

from __future__ import annotations

from slurm_gpucost.domain.evidence import AssociationReport, CoordinatorReport, Poll, PrivacyReport, UserReport
from slurm_gpucost.ledger import asked, rights
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services.collect import Taken
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources.slurm_rights import Rights

RIGHTS = "rights"
"""The name of the question, and of the witness."""


def take_rights(ledger: Ledger, settings: Settings, told: Rights, observed_at_ms: int) -> Taken:
    """A whole answer: changes are kept, losses too. One that is not whole must not come here."""
    cluster, at_ms = settings.cluster, observed_at_ms
    with ledger.transaction() as db:
        before = rights.standing(db, cluster, at_ms)
        said: list[rights.Report] = [
            UserReport(cluster, user, at_ms, told.levels.get(user))
            for user, _ in before.levels.items() ^ told.levels.items()
        ]
        said += [
            CoordinatorReport(cluster, user, account, at_ms, int((account, user) in told.coordinators))
            for account, user in before.coordinators ^ told.coordinators
        ]
        listed = {(one.account, one.user): one.parent for one in told.associations}
        gone = {(account, user): parent for account, user, parent in before.associations - told.associations}
        said += [
            AssociationReport(cluster, user, account, at_ms, parent, int((account, user) in listed))
            for (account, user), parent in {**gone, **listed}.items()
            if (account, user, parent) not in before.associations or (account, user) in gone
        ]
        said.append(PrivacyReport(cluster, at_ms, ",".join(sorted(told.private_data))))
        rows = len(told.levels) + len(told.coordinators) + len(listed) + 1
        new = rights.add(db, said)
        asked.add_poll(db, Poll(RIGHTS, cluster, at_ms, None, None, rows, new, 1, 1, ""))
    return Taken(rows, new, [])
