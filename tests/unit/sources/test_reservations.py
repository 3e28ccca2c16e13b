"""Reservations as sacctmgr prints them, names that look like records among them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import ReservationReport
from slurm_gpucost.sources import reservations
from tests.unit.builders import T0, VERSIONS, recording, script

S = T0 // 1000


class Dbd:
    """sacctmgr over a list of (id, start, end, flags, nodes, associations, tres, name); says what it was asked."""

    def __init__(self, rows: list[tuple[int, int, int, str, str, str, str, str]], accounts: dict[int, str]) -> None:
        self.rows, self.accounts = rows, accounts
        self.asked: list[tuple[str, ...]] = []

    def reservation(self, *words: str) -> str:
        self.asked.append(words)
        ids = {int(one) for word in words if word.startswith("ids=") for one in word[4:].split(",")}
        out = ""
        for row in self.rows:
            if not ids or row[0] in ids:
                named = words[-1] == "format=ID,Start,Name"
                assert named or words[-1] == "format=ID,Start,End,Flags,NodeNames,Associations,TRES"
                told = (row[0], row[1], row[7]) if named else row[:7]
                out += "|".join(map(str, told)) + "\n"
        return out

    def associations(self, *words: str) -> str:
        self.asked.append(words)
        (ids,) = [word[4:].split(",") for word in words if word.startswith("ids=")]
        return "".join(f"{n}|{name}\n" for n, name in self.accounts.items() if str(n) in ids)

    def read(self) -> list[ReservationReport]:
        return reservations.read(self.reservation, self.associations, "c", T0)


def row(id: int, name: str, start: int = S, **other: str) -> tuple[int, int, int, str, str, str, str, str]:
    said = {"flags": "SPEC_NODES", "nodes": "n1", "associations": "4", "tres": "cpu=16"} | other
    return (id, start, start + 100, said["flags"], said["nodes"], said["associations"], said["tres"], name)


ACCOUNTS = {3: "science", 4: "physics", 6: "physics", 8: "biology"}


def test_every_row_of_a_reservation_is_read() -> None:
    dbd = Dbd(
        [
            row(1, "course"),
            row(1, "course", S + 100, nodes="n[1-2]", associations="8,4,6", tres="cpu=32,gres/gpu=6", flags=""),
            row(2, "none", associations=""),
        ],
        ACCOUNTS,
    )
    first, second, third = dbd.read()
    assert first == ReservationReport(
        "c", 1, T0, T0, T0 + 100_000, "course", '["physics"]', "4", "n1", "cpu=16", "SPEC_NODES", 1
    )
    assert (second.start_ms, second.nodes, second.tres) == (T0 + 100_000, "n[1-2]", "cpu=32,gres/gpu=6")
    assert json.loads(second.accounts) == ["biology", "physics"]
    assert json.loads(third.accounts) == []
    assert len(dbd.asked) == 3
    assert dbd.asked[2] == ("withdeleted", "ids=4,6,8", "format=ID,Account"), "not all associations of the cluster"


def test_an_association_that_nobody_knows_or_two_claim_is_no_account() -> None:
    dbd = Dbd([row(1, "a", associations="4,99"), row(2, "b", associations="5")], ACCOUNTS | {5: "x\n5|evil"})
    assert [json.loads(one.accounts) for one in dbd.read()] == [["", "physics"], [""]]


@pytest.mark.parametrize("name", ["a | b", "two\nlines", "tail\n", "", "9|9|x", f"x\n9|{S}|y", "Übung\t%s \\"])
def test_any_name_is_read_whole(name: str) -> None:
    dbd = Dbd([row(1, "before"), row(2, name), row(3, "after")], ACCOUNTS)
    assert [one.name for one in dbd.read()] == ["before", name, "after"]
    assert len(dbd.asked) == 3, "no question more"


def test_a_name_that_says_the_record_of_another_harms_nobody() -> None:
    forged = f"innocent\n3|{S}|stolen"
    dbd = Dbd([row(1, "before"), row(2, forged), row(3, "true"), row(4, "after")], ACCOUNTS)
    assert [one.name for one in dbd.read()] == ["before", forged, "true", "after"]
    own = f"me\n2|{S}|me too"  # its own record: nobody could say which name is true, so it has none
    dbd = Dbd([row(1, "before"), row(2, own), row(3, "true")], ACCOUNTS)
    assert [one.name for one in dbd.read()] == ["before", "", "true"]


def test_what_is_no_record_is_an_error_and_so_are_replies_that_differ() -> None:
    with pytest.raises(SourceError, match="no reservation: what is this"):
        reservations.read(lambda *_: "what is this\n", lambda *_: "", "c", T0)
    replies = iter([f"1|{S}|{S + 1}||n1||cpu=1\n", f"2|{S}|x\n"])
    with pytest.raises(SourceError, match="from one question to the next"):
        reservations.read(lambda *_: next(replies), lambda *_: "", "c", T0)
    assert reservations.read(lambda *_: "", lambda *_: "", "c", T0) == []


def test_the_command_is_asked_for_the_cluster_and_the_time(tmp_path: Path) -> None:
    fake = script(
        tmp_path / "sacctmgr",
        f"""echo "$SLURM_TIME_FORMAT $TZ $*" >>{tmp_path}/asked
case $* in *NodeNames*) echo '5|{S}|{S + 9}|MAINT|n1||cpu=4';; *Name*) echo '5|{S}|x|y';; esac""",
    )
    (found,) = reservations.ask(fake, "alpha", T0, T0 + 60_000, 5, T0)
    assert (found.id, found.name, found.flags, found.accounts) == (5, "x|y", "MAINT", "[]")
    first = (tmp_path / "asked").read_text().splitlines()[0]
    words = "--parsable2 --noheader show reservation cluster=alpha start=2026-09-21T14:13:20 end=2026-09-21T14:14:20"
    assert first.startswith(f"%s UTC {words} format=ID,")


@pytest.mark.parametrize("version", VERSIONS)
def test_cpus_of_nodes_as_the_controller_prints_them(version: str) -> None:
    from slurm_gpucost.sources.nodes import parse_cpus

    found = parse_cpus(recording(version, "scontrol-show-node-o.txt"), "alpha", T0)
    assert [(one.node, one.cpus) for one in found] == [("n1", 16), ("n2", 16)]
