"""Who sees what: every role, from everywhere, with everything that narrows and widens; and how rights are lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.domain.access import Viewer
from slurm_gpucost.ledger.store import Ledger, open_ledger, open_readonly
from slurm_gpucost.services.access import MUNGE, SOCKET, TOKEN, TRUST_MS, viewer_of
from slurm_gpucost.settings import Settings
from tests.unit.services.rights_site import MEMBERS, NOW, TREE, hear, in_cluster, site, told

WAYS = {"socket": (SOCKET, True), "trusted munge": (MUNGE, True), "munge": (MUNGE, False),
        "trusted token": (TOKEN, True), "token": (TOKEN, False)}  # fmt: skip
SAFE = ("socket", "trusted munge", "trusted token")
NO_FORGERY = (*SAFE, "token")
UID = 54_321


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, Settings]]:
    settings = site(tmp_path_factory.mktemp("rights"))
    with open_ledger(settings.ledger) as ledger:
        hear(ledger, settings)
        yield ledger, settings


def view(heard: tuple[Ledger, Settings], user: str, way: str = "socket", at_ms: int = NOW, **access: Any) -> Viewer:
    ledger, settings = heard
    via, trusted = WAYS[way]
    settings = replace(settings, access=replace(settings.access, **access))
    return viewer_of(ledger.connection, settings, user, UID, "192.0.2.9", via, trusted, now_ms=at_ms)


ROLES = {
    # user: (everyone, costs, acts, bills), each where no one can have forged him
    "ann": (False, False, False, False),
    "carol": (False, False, False, False),
    "rosa": (False, False, False, False),
    "cora": (False, True, False, False),
    "dave": (True, False, False, True),
    "olga": (True, False, True, True),
    "adam": (True, False, True, True),
    "max": (True, False, True, True),
    "root": (True, False, True, True),
}


@pytest.mark.parametrize(("user", "way"), list(product(ROLES, WAYS)))
def test_roles(heard: tuple[Ledger, Settings], user: str, way: str) -> None:
    everyone, costs, acts, bills = ROLES[user]
    sees, may = way in NO_FORGERY, way in SAFE
    found = view(heard, user, way)
    assert found.user == user
    assert (found.everyone, found.costs) == (everyone and sees, costs and sees)
    assert (found.acts, found.bills) == (acts and may, bills and may)


@pytest.mark.parametrize("way", WAYS)
def test_a_coordinator_has_the_account_and_what_is_below(heard: tuple[Ledger, Settings], way: str) -> None:
    assert view(heard, "carol", way).accounts == in_cluster(["physics", "optics"])
    assert view(heard, "rosa", way).accounts == in_cluster(TREE)
    assert view(heard, "ann", way).accounts == set()


@pytest.mark.parametrize(("uid", "name"), [(0, "root"), (os.geteuid(), "gpucost")])
def test_root_and_the_service_itself_see_all_on_the_socket_alone(tmp_path: Path, uid: int, name: str) -> None:
    settings = site(tmp_path)
    with open_ledger(settings.ledger) as ledger:  # Slurm never said anything

        def of(via: str, trusted: bool) -> Viewer:
            return viewer_of(ledger.connection, settings, name, uid, "h", via, trusted, now_ms=NOW)

        assert of(SOCKET, True) == Viewer(name, everyone=True, costs=True, acts=True, bills=True)
        for via, trusted in ((MUNGE, True), (MUNGE, False), (TOKEN, True)):
            assert of(via, trusted) == Viewer(name, totals=False)


SHARED = {
    # (visibility, hidden): accounts that ann, of physics, sees the spend of
    ("own", ()): (),
    ("account", ()): ("physics",),
    ("all", ()): tuple(TREE),
    ("account", ("jobs",)): ("physics",),
    ("account", ("accounts",)): ("physics",),
    ("all", ("accounts",)): ("physics",),
    ("all", ("jobs",)): tuple(TREE),
    ("account", ("usage",)): (),
    ("all", ("usage",)): (),
    ("account", ("users",)): (),
    ("all", ("users", "jobs")): (),
}


@pytest.mark.parametrize("case", SHARED)
@pytest.mark.parametrize("said_by", ["config", "slurm"])
@pytest.mark.parametrize("way", WAYS)
def test_visibility_widens_and_private_data_narrows(
    tmp_path: Path, case: tuple[str, tuple[str, ...]], said_by: str, way: str
) -> None:
    shows, hidden = case
    config = said_by == "config"
    settings = site(tmp_path, visibility=shows, private_data=hidden if config else "slurm")
    with open_ledger(settings.ledger) as ledger:
        hear(ledger, settings, rights=told(private_data=frozenset({"usage", "users"} if config else hidden)))
        found = view((ledger, settings), "ann", way)
        assert found.shared_accounts == in_cluster(SHARED[case])
        assert found.totals == ("usage" not in hidden)
        assert not found.everyone and not found.accounts, "others' jobs and invoices are never shared"
        coordinator = view((ledger, settings), "carol", way)
        assert coordinator.accounts == in_cluster(["physics", "optics"]), "Slurm shows coordinators theirs all the same"
        assert view((ledger, settings), "olga", "socket").totals


def test_no_combination_gives_a_plain_user_more_than_the_site_shares(tmp_path: Path) -> None:
    """Every plain user, way, visibility and PrivateData; names that look like roles but are nobody's."""
    hidden = [(), ("jobs",), ("usage",), ("users",), ("accounts",)]
    settings = site(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        hear(ledger, settings)
        users = ["ann", "ben", "tina", "nobody", "", "Olga", "olga ", "dave,", "root ", "%", "'", "*"]
        for user, way, shows, private in product(users, WAYS, ("own", "account", "all"), hidden):
            found = view((ledger, settings), user, way, visibility=shows, private_data=private)
            assert not (found.everyone or found.costs or found.acts or found.bills or found.accounts), (user, way)
            assert found.user in (user, "")
            mine = in_cluster([MEMBERS[user]] if user in MEMBERS else [])
            most = {"own": set(), "account": mine, "all": in_cluster(TREE)}[shows]
            assert found.shared_accounts <= most, (user, way, shows)


@pytest.mark.parametrize("way", WAYS)
def test_nobody_is_nobody(heard: tuple[Ledger, Settings], way: str) -> None:
    assert view(heard, "", way, visibility="all", finance=("",), administrators=("",)) == Viewer("", totals=False)


def test_an_unknown_way_gives_nothing(heard: tuple[Ledger, Settings]) -> None:
    ledger, settings = heard
    told = viewer_of(ledger.connection, settings, "olga", 0, "h", "header", True, now_ms=NOW)
    assert told == Viewer("", totals=False)


def test_rights_go_with_slurm_s_next_answer(tmp_path: Path) -> None:
    settings = site(tmp_path, visibility="account")
    with open_ledger(settings.ledger) as ledger:
        hear(ledger, settings)
        here = ledger, settings
        assert view(here, "olga").everyone and view(here, "carol").accounts and view(here, "ann").shared_accounts
        less = told()
        gone = {one for one in less.associations if one.user == "ann" or one.account == "optics"}
        hear(ledger, settings, NOW + 1, less._replace(
            levels={"root": "Administrator"}, coordinators=frozenset({("arts", "carol")}),
            associations=less.associations - gone,
        ))  # fmt: skip
        assert view(here, "olga", at_ms=NOW + 1) == Viewer("olga", shared_accounts=frozenset({("c", "arts")}))
        assert view(here, "carol", at_ms=NOW + 1).accounts == in_cluster(["arts"])
        assert view(here, "ann", at_ms=NOW + 1).shared_accounts == set()
        assert view(here, "olga", at_ms=NOW).everyone, "and before that moment they were there"


@pytest.mark.parametrize("user", ["olga", "carol", "ann"])
def test_what_slurm_said_a_day_ago_is_not_trusted(tmp_path: Path, user: str) -> None:
    settings = site(tmp_path, visibility="all")
    with open_ledger(settings.ledger) as ledger:
        hear(ledger, settings)
        here = ledger, settings
        assert view(here, user, at_ms=NOW + TRUST_MS) == view(here, user)
        assert view(here, user, at_ms=NOW + TRUST_MS + 1) == Viewer(user)
        hear(ledger, settings, NOW + TRUST_MS + 2)
        assert view(here, user, at_ms=NOW + TRUST_MS + 2) == view(here, user)


def test_roles_of_the_config_need_no_slurm(tmp_path: Path) -> None:
    settings = site(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        here = ledger, settings
        assert view(here, "dave").bills and view(here, "max").acts and view(here, "cora").costs
        assert view(here, "olga") == Viewer("olga", totals=False), "what PrivateData hides is not known yet"


def test_an_answer_of_a_clock_that_ran_ahead_does_not_count_yet(tmp_path: Path) -> None:
    settings = site(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        hear(ledger, settings, NOW + 10 * TRUST_MS)
        here = ledger, settings
        assert not view(here, "olga").everyone
        hear(ledger, settings, NOW, told(levels={"root": "Administrator"}))
        assert not view(here, "olga", at_ms=NOW + 1).everyone
        assert view(here, "adam", at_ms=NOW + 1) == Viewer("adam")


def test_an_operator_of_some_clusters_has_those_clusters(tmp_path: Path) -> None:
    settings = site(tmp_path)
    other = replace(settings, cluster="d")
    with open_ledger(settings.ledger) as ledger:
        hear(ledger, settings)
        hear(ledger, other, rights=told(levels={"root": "Administrator", "adam": "Operator"}, coordinators=frozenset()))

        def of(user: str, trusted: bool = True) -> Viewer:
            return viewer_of(
                ledger.connection, settings, user, UID, "h", MUNGE, trusted, now_ms=NOW, clusters=["c", "d"]
            )

        assert of("adam").everyone and of("adam").acts
        assert of("olga") == Viewer("olga", accounts=frozenset(in_cluster(TREE)))
        assert of("olga", trusted=False) == Viewer("olga")
        assert of("carol").accounts == in_cluster(["physics", "optics"]), "not those of the same names elsewhere"


def test_accounts_in_a_circle_end(tmp_path: Path) -> None:
    settings = site(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        circle = {one._replace(parent="optics") if one[:2] == ("physics", "") else one for one in told().associations}
        hear(ledger, settings, rights=told(associations=frozenset(circle)))
        assert view((ledger, settings), "carol").accounts == in_cluster(["physics", "optics"])


def test_a_reader_of_the_file_can_ask(heard: tuple[Ledger, Settings]) -> None:
    _, settings = heard
    db = open_readonly(settings.ledger)
    assert viewer_of(db, settings, "olga", UID, "h", SOCKET, now_ms=NOW).everyone
    db.close()
