"""Who has which rights in Slurm: ``sacctmgr show user``, ``account``, ``assoc`` and ``config``.

Coordinators may add users, on 22.05 accounts too, under names that hold newlines and ``|`` (seen on 22.05, 24.11 and
26.05), and sacctmgr does not escape them: one line ``physics|mallory`` may be a piece of a user's name. So nothing is
believed that such a name could say. Admin levels are asked for by level, names alone. Associations are asked for three
times, ids, accounts and users apart, and put together by the ids, which nobody can make up: where a line claims the id
of another association, or lines follow that have none, they are asked for by themselves. Where a line of coordinators
could be another account's, each account is. Names that hold white space, ``|`` or commas have no rights.

What PrivateData hides from us would look as if it were gone. So an answer without what every slurmdbd has, the account
and the administrator root, is no answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.sources import command
from slurm_gpucost.sources.associations import ROOT

LEVELS = ("Operator", "Administrator")
_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
_MOST_ALONE = 200
"""So many associations are asked for by themselves; those beyond are left out."""
_PLAIN = re.compile(r"[^\s|,]+")
_PRIVATE = re.compile(r"^PrivateData *= *(.*)$", re.MULTILINE)
_HIDDEN = "make the service's user a Slurm operator (`sacctmgr modify user gpucost set adminlevel=operator`)"
Show = Callable[..., str]


class Association(NamedTuple):
    """An account below its parent (``user`` ''), or a user in it."""

    account: str
    user: str
    parent: str


class Rights(NamedTuple):
    """All that a slurmdbd says of rights on a cluster."""

    levels: dict[str, str]
    """User -> Operator or Administrator; the others have none."""
    coordinators: frozenset[tuple[str, str]]
    """(account, user)."""
    associations: frozenset[Association]
    private_data: frozenset[str]


def ask(sacctmgr: str, cluster: str, timeout_seconds: float) -> Rights:
    """All of it, in eight questions. Raises SourceError, also where not all is shown."""

    def show(*words: str) -> str:
        return command.run([sacctmgr, "--parsable2", "--noheader", "show", *words], timeout_seconds, _ENVIRONMENT)

    levels = {
        user: level
        for level in LEVELS
        for user in show("user", f"adminlevel={level}", "format=User").splitlines()
        if plain(user)
    }
    if ROOT not in levels:
        raise SourceError(f"`sacctmgr show user` does not name root as an administrator, so it hides users; {_HIDDEN}")
    tree = associations(show, cluster)
    if Association(ROOT, "", "") not in tree:
        raise SourceError(
            f"`sacctmgr show assoc` shows no root account of cluster {cluster}: it does not know the cluster "
            f"(`sacctmgr show cluster`), or hides it; {_HIDDEN}"
        )
    return Rights(levels, coordinators(show), tree, private_data(show("config")))


def plain(name: str) -> bool:
    """Whether it is a name that no reply can be cut at."""
    return bool(_PLAIN.fullmatch(name)) and name.isprintable()


def associations(show: Show, cluster: str) -> frozenset[Association]:
    """Accounts and users put together by the ids of their associations."""
    ids = set(show("assoc", f"cluster={cluster}", "format=ID").splitlines())

    def by_id(columns: str) -> dict[str, tuple[str, ...]]:
        reply = show("assoc", f"cluster={cluster}", f"format=ID,{columns}")
        found, doubtful = _by_id(reply, ids)
        for number in doubtful:
            alone = show("assoc", f"cluster={cluster}", f"ids={number}", f"format={columns}").removesuffix("\n")
            found[number] = tuple(alone.split("|"))
        return {number: cells for number, cells in found.items() if len(cells) == columns.count(",") + 1}

    has, of = by_id("Account,ParentName"), by_id("User")
    return frozenset(
        Association(account, user, "" if user else parent)
        for number, (account, parent) in has.items()
        if plain(account) and (not parent or plain(parent))
        for user in of.get(number, ())
        if not user or plain(user)
    )


def _by_id(reply: str, ids: set[str]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Cells by id; and the ids of which that cannot be told, in order, as many as can be asked for alone.

    ``ids`` are all that there are; nobody can make up those. What an id stands for is on its line alone where no other
    line begins with it, and none comes before the next association's: that begins with an id of which the same is so.
    """
    lines = [line.split("|") for line in reply.splitlines()]
    times = Counter(cells[0] for cells in lines if cells[0] in ids)
    following = [*(cells[0] for cells in lines[1:]), ""][: len(lines)]
    found = {
        cells[0]: tuple(cells[1:])
        for cells, after in zip(lines, following, strict=True)
        if times[cells[0]] == 1 and (times[after] == 1 or cells is lines[-1])
    }
    return found, [number for number in times if number not in found][:_MOST_ALONE]


def coordinators(show: Show) -> frozenset[tuple[str, str]]:
    """(account, user) of all; each account by itself where the answer for all can be read in more than one way."""
    names = show("account", "format=Account").splitlines()
    lines = [line.split("|") for line in show("account", "withcoord", "format=Account,Coordinators").splitlines()]
    cells = [cells for cells in lines if len(cells) == 2]
    if len(cells) == len(lines) and sorted(account for account, _ in cells) == sorted(names) == sorted(set(names)):
        return frozenset(_each((account, said.split(",")) for account, said in cells))
    alone = sorted(set(filter(plain, names)))
    return frozenset(
        _each((one, show("account", f"name={one}", "withcoord", "format=Coordinators").split(",")) for one in alone)
    )


def _each(said: Iterable[tuple[str, list[str]]]) -> Iterable[tuple[str, str]]:
    """The last name of a reply has the line's end behind it."""
    for account, users in said:
        for user in (*users[:-1], users[-1].removesuffix("\n")):
            if plain(user) and plain(account):
                yield account, user


def private_data(config: str) -> frozenset[str]:
    """The words of slurm.conf's PrivateData and of slurmdbd.conf's. Raises SourceError where there are none to read."""
    lines = _PRIVATE.findall(config)
    if not lines:
        raise SourceError(
            "`sacctmgr show config` does not tell PrivateData; is there a slurm.conf, and does slurmdbd answer?"
        )
    words = {word.strip().lower() for line in lines for word in line.split(",")}
    return frozenset(words - {"none", "(null)", ""})
