"""Reservations as slurmdbd knows them: ``sacctmgr show reservation``, a row for each stretch in which nothing changed.

The name is the only text that operators write, ``|`` and newlines among it, and sacctmgr neither escapes nor takes a
delimiter. So all else is asked for without it, and then the names: a record begins where a line begins like a known
one. Where more lines do, each of these reservations is asked for by itself, and a name that still can be read in two
ways is none. Whose they are stands there as ids of associations, which ``sacctmgr show associations`` tells.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import ReservationReport
from slurm_gpucost.sources import command
from slurm_gpucost.sources.node_events import ENVIRONMENT, span

_FACTS = re.compile(
    r"(?P<id>\d{1,15})\|(?P<start>\d{1,15})\|(?P<end>\d{1,15})\|(?P<flags>[^|]*)\|(?P<nodes>[^|]*)"
    r"\|(?P<associations>[\d,]*)\|(?P<tres>[^|]*)",
    re.ASCII,
)
_BEGINS = re.compile(r"^(\d{1,15})\|(\d{1,15})\|", re.MULTILINE | re.ASCII)
_ASSOCIATION = re.compile(r"^(\d{1,15})\|", re.MULTILINE | re.ASCII)
_Key = tuple[int, int]
"""Id, and start in seconds."""
Show = Callable[..., str]
"""What sacctmgr shows, asked with these words."""


def ask(
    sacctmgr: str, cluster: str, start_ms: int, end_ms: int, timeout_seconds: float, observed_at_ms: int
) -> list[ReservationReport]:
    """The reservations of the cluster that touch [start, end). Raises SourceError."""
    words = [sacctmgr, "--parsable2", "--noheader", "show"]

    def show(what: str, *more: str) -> str:
        return command.run([*words, what, f"cluster={cluster}", *more], timeout_seconds, ENVIRONMENT)

    return read(partial(show, "reservation", *span(start_ms, end_ms)), partial(show, "associations"), cluster,
                observed_at_ms)  # fmt: skip


def read(reservation: Show, associations: Show, cluster: str, observed_at_ms: int) -> list[ReservationReport]:
    """The reservations, by whoever shows them. Raises SourceError where replies are of other reservations."""
    facts = _facts(reservation("format=ID,Start,End,Flags,NodeNames,Associations,TRES"))
    if not facts:
        return []
    names = _names(reservation, facts)
    ids = sorted({int(one) for match in facts.values() for one in match["associations"].split(",") if one})
    owners = (
        accounts_of(associations("withdeleted", f"ids={','.join(map(str, ids))}", "format=ID,Account")) if ids else {}
    )
    return [
        ReservationReport(
            cluster, key[0], key[1] * 1000, observed_at_ms, int(match["end"]) * 1000, names[key],
            _accounts(match["associations"], owners), match["associations"], match["nodes"], match["tres"],
            match["flags"],
        )
        for key, match in facts.items()
    ]  # fmt: skip


def _facts(text: str) -> dict[_Key, re.Match[str]]:
    found: dict[_Key, re.Match[str]] = {}
    for line in text.splitlines():
        match = _FACTS.fullmatch(line)
        if match:
            found[int(match["id"]), int(match["start"])] = match
        elif line.strip():
            raise SourceError(f"`sacctmgr show reservation` said what is no reservation: {line[:200]}")
    return found


def _names(show: Show, keys: Iterable[_Key]) -> dict[_Key, str]:
    columns = "format=ID,Start,Name"
    found, twice = names_of(show(columns), set(keys))
    for number in sorted({number for number, _ in twice}):
        own = {key for key in keys if key[0] == number}
        alone, still = names_of(show(f"ids={number}", columns), own)
        found |= alone | dict.fromkeys(still, "")
    return found


def names_of(text: str, keys: set[_Key]) -> tuple[dict[_Key, str], set[_Key]]:
    """The names, and the keys whose record begins on more than one line. What stands before such a line may be cut
    short by it, so that is among them, too. Raises SourceError where one of the keys has no line."""
    begins = [(match, (int(match[1]), int(match[2]))) for match in _BEGINS.finditer(text)]
    begins = [(match, key) for match, key in begins if key in keys]
    counts = Counter(key for _, key in begins)
    if keys - counts.keys():
        raise SourceError("`sacctmgr show reservation` told of other reservations from one question to the next")
    found: dict[_Key, str] = {}
    doubtful: set[_Key] = set()
    for n, (match, key) in enumerate(begins):
        stop, following = (begins[n + 1][0].start(), begins[n + 1][1]) if n + 1 < len(begins) else (len(text), None)
        found[key] = text[match.end() : stop].removesuffix("\n")
        if counts[key] > 1 or (following is not None and counts[following] > 1):
            doubtful.add(key)
    return {key: name for key, name in found.items() if key not in doubtful}, doubtful


def accounts_of(text: str) -> dict[int, str]:
    """Id of an association -> its account; an id that stands there twice is left out: nobody knows which is true."""
    begins = list(_ASSOCIATION.finditer(text))
    stops = [*(match.start() for match in begins[1:]), len(text)]
    counts = Counter(int(match[1]) for match in begins)
    named = [(int(match[1]), text[match.end() : stop]) for match, stop in zip(begins, stops, strict=False)]
    return {number: name.removesuffix("\n") for number, name in named if counts[number] == 1}


def _accounts(associations: str, owners: Mapping[int, str]) -> str:
    told = {owners.get(int(one), "") for one in associations.split(",") if one}
    return json.dumps(sorted(told), ensure_ascii=False)
