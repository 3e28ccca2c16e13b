"""Rights as sacctmgr prints them, and coordinators who make up names that look like rights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.sources.slurm_rights import Association, ask, associations, coordinators, private_data
from tests.unit.builders import script

TREE = {"root": "", "science": "root", "biology": "science", "physics": "science", "phys2": "physics"}
MEMBERS = [("root", "root"), ("biology", "bob"), ("biology", "carol"), ("physics", "carol"), ("phys2", "dave")]
# As 22.05, 24.11 and 26.05 print it, shortened.
CONFIG = """\
Configuration data as of 2026-11-28T19:31:07
PrivateData            = jobs,usage
SLURM_CONF             = /etc/slurm/slurm.conf

SlurmDBD configuration:
PrivateData            = none
"""


@dataclass
class Slurmdbd:
    """Answers as sacctmgr does: nothing is escaped. phys2 and what is made below it is its coordinator's, alice."""

    made_users: list[str] = field(default_factory=list)
    made_accounts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tree = {**TREE, **dict.fromkeys(self.made_accounts, "phys2")}
        rows = [(account, "", parent) for account, parent in self.tree.items()]
        rows += [(account, user, "") for account, user in MEMBERS]
        rows += [("phys2", user, "") for user in self.made_users]
        self.rows = dict(enumerate(rows, 1))

    def coordinators_of(self, account: str) -> list[str]:
        mine = account == "phys2" or self.tree[account] == "phys2"
        return ["alice", *self.made_users] if mine else ["erin"] if account == "biology" else []

    def show(self, *words: str) -> str:
        said = dict(word.partition("=")[::2] for word in words[1:])
        columns = said["format"].split(",")
        if words[0] == "assoc":
            chosen = [(n, row) for n, row in self.rows.items() if said.get("ids", str(n)) == str(n)]
            lines = [{"ID": str(n), "Account": a, "User": u, "ParentName": p} for n, (a, u, p) in chosen]
        else:
            accounts = [a for a in self.tree if said.get("name", a) == a]
            lines = [{"Account": a, "Coordinators": ",".join(self.coordinators_of(a))} for a in accounts]
        return "".join("|".join(line[column] for column in columns) + "\n" for line in lines)


def honest(found: frozenset[Association]) -> set[Association]:
    """What is said of others' accounts."""
    return {one for one in found if one.account in TREE and one.account != "phys2"}


def test_all_of_it_is_read() -> None:
    slurmdbd = Slurmdbd(made_users=["frank"])
    found = associations(slurmdbd.show, "alpha")
    assert {(a, u) for a, u, _ in found if u} == {*MEMBERS, ("phys2", "frank")}
    assert {a: p for a, u, p in found if not u} == TREE
    assert coordinators(slurmdbd.show) == {("biology", "erin"), ("phys2", "alice"), ("phys2", "frank")}


pieces = st.lists(
    st.sampled_from(["\n", "|", ",", "x", "1", "2", "3", "9", "science", "biology", "mallory", "phys2", "root", ""]),
    min_size=1, max_size=9,
).map("".join).filter(lambda name: name not in TREE)  # fmt: skip


@example(["x\n2|mallory"], [])
@example(["x\nscience|mallory"], [])
@example(["x\n1|mallory\n3|bob\n7"], ["q\nscience|mallory"])
@example([], ["q|phys2\n2|mine"])
@example([], ["q\nscience"])
@example([], ["science|\n"])
@example([], ["science|phys2\nq"])
@example(["x\n99|"], ["q|phys2\n99|science|phys2\nr"])
@given(st.lists(pieces, max_size=3, unique=True), st.lists(pieces, max_size=2, unique=True))
def test_no_name_that_a_coordinator_makes_up_gives_or_takes_a_right_elsewhere(
    users: list[str], accounts: list[str]
) -> None:
    slurmdbd = Slurmdbd(users, accounts)
    assert honest(associations(slurmdbd.show, "alpha")) == honest(associations(Slurmdbd().show, "alpha"))
    elsewhere = {(account, user) for account, user in coordinators(slurmdbd.show) if account in TREE}
    assert {one for one in elsewhere if one[0] != "phys2"} == {("biology", "erin")}
    assert ("phys2", "alice") in elsewhere


def sacctmgr(folder: Path, **said: str) -> str:
    """One that knows a site; ``said`` replaces answers."""
    answers = {
        "Administrator": "root\n", "Operator": "olga\nx y\n", "ID,Account,ParentName": "1|root|\n2|root|\n3|bio|root\n",
        "ID,User": "1|\n2|root\n3|\n", "ID": "1\n2\n3\n",
        "Account": "bio\nroot\n", "Account,Coordinators": "bio|carol,dave\nroot|\n",
        "config": CONFIG, **said,
    }  # fmt: skip
    for name, text in answers.items():
        (folder / name).write_text(text)
    return script(
        folder / "sacctmgr",
        f'cd {folder}; [ "$1 $2 $3" = "--parsable2 --noheader show" ] || exit 9\n'
        'for word; do case "$word" in adminlevel=*) of=${word#*=};; format=*) : "${of:=${word#*=}}";; '
        "config) of=config;; cluster=alpha) ;; cluster=*) exit 0;; esac; done\n"
        'cat "$of"',
    )


def test_a_whole_answer(tmp_path: Path) -> None:
    found = ask(sacctmgr(tmp_path), "alpha", 5)
    assert found.levels == {"olga": "Operator", "root": "Administrator"}
    assert found.coordinators == {("bio", "carol"), ("bio", "dave")}
    assert found.associations == {("root", "", ""), ("root", "root", ""), ("bio", "", "root")}
    assert found.private_data == {"jobs", "usage"}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"Administrator": ""}, "hides users; make the service's user a Slurm operator"),
        (
            {"ID,Account,ParentName": "8|bio|\n", "ID,User": "8|carol\n", "ID": "8\n"},
            "shows no root account of cluster alpha",
        ),
        ({"config": "SLURM_CONF = x\n"}, "does not tell PrivateData"),
    ],
)
def test_what_is_hidden_from_us_is_no_answer(tmp_path: Path, said: dict[str, str], why: str) -> None:
    with pytest.raises(SourceError, match=why):
        ask(sacctmgr(tmp_path, **said), "alpha", 5)


def test_a_cluster_that_slurmdbd_does_not_know_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no root account of cluster beta"):
        ask(sacctmgr(tmp_path), "beta", 5)


def test_private_data_of_both_files_counts() -> None:
    assert private_data(CONFIG) == {"jobs", "usage"}
    assert private_data(CONFIG.replace("= none", "= accounts,users,Usage")) == {"jobs", "usage", "accounts", "users"}
    assert private_data("PrivateData = none\nPrivateData=(null)\n") == frozenset()
