"""Rates, turns and pages by themselves."""

from __future__ import annotations

import asyncio
import json

import pytest

from slurm_gpucost.collector import answers
from slurm_gpucost.collector.answers import Answer, Answers
from slurm_gpucost.collector.limits import AtOnce, Later, Rates, Room
from slurm_gpucost.collector.peers import Peer
from slurm_gpucost.collector.replies import Refusal
from slurm_gpucost.collector.turns import Turns
from slurm_gpucost.services.callers import Caller

ANN = Caller("ann", 1000, "here", "socket", True)
BOB = Caller("bob", 1001, "here", "socket", True)


def test_a_rate_is_each_client_s_own_and_comes_back() -> None:
    now = [0.0]
    rates = Rates((2.0, 4.0), lambda: now[0])
    assert [rates.wait_seconds("a") for _ in range(5)] == [0, 0, 0, 0, 1]
    assert rates.wait_seconds("b") == 0
    now[0] = 0.5
    assert [rates.wait_seconds("a") for _ in range(2)] == [0, 1]
    now[0] = -100
    assert rates.wait_seconds("a") == 1, "a clock that goes back gives nothing"


def test_what_is_at_once_is_counted_and_given_back() -> None:
    busy, room = AtOnce(1), Room(10)
    with busy.one_more("a") as first, busy.one_more("a") as second, busy.one_more("b") as other:
        assert (first, second, other) == (True, False, True)
    with busy.one_more("a") as again:
        assert again
    with room.take(6) as first, room.take(6) as second:
        assert (first, second) == (True, False)
    with room.take(10) as all_of_it:
        assert all_of_it


def test_turns_go_round() -> None:
    """ann asks three times; bob, who comes last, is second."""
    order: list[str] = []

    async def one(turns: Turns, client: str) -> None:
        async with turns.turn(client, 5):
            order.append(client)
            await asyncio.sleep(0.02)

    async def all_of_them() -> None:
        turns = Turns(2)
        await asyncio.gather(*(one(turns, client) for client in ("ann", "ann", "ann", "bob")))
        assert turns.waiting == 0
        async with turns.turn("ann", 1), turns.turn("bob", 1):
            with pytest.raises(Refusal) as late:
                async with turns.turn("eve", 0.01):
                    pass
            assert late.value.status == 503
        async with turns.turn("eve", 1):
            pass

    asyncio.run(all_of_them())
    assert order[:2] == ["ann", "bob"] and sorted(order) == ["ann", "ann", "ann", "bob"]


def test_too_many_waiting_are_sent_away() -> None:
    async def crowd() -> None:
        turns = Turns(1, most_waiting=0)
        with pytest.raises(Refusal):
            async with turns.turn("ann", 1):
                pass

    asyncio.run(crowd())


def written(rows: int, width: int = 10, caller: Caller = ANN, rows_a_page: int = 3) -> Answer:
    made = Answer(caller, "jobs", rows_a_page)
    lines = [{"head": "é"}, *({"n": n, "text": "é" * width} for n in range(rows))]
    made.file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    made.file.flush()
    return made


def page(answer: Answer, number: int) -> list[int]:
    said = json.loads(b"".join(answer.page(number)) + b"}")
    assert said["head"] == {"head": "é"}
    return [row["n"] for row in said["rows"]]


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize("width", [1, 100_000])
def test_pages_hold_each_row_once(rows: int, width: int) -> None:
    answer, found, number = written(rows, width), [], 0
    while number == 0 or number < answer.pages:
        assert page(answer, number) == page(answer, number)
        found += page(answer, number)
        number += 1
    assert found == list(range(rows)) and number == max(1, -(-rows // 3))


def test_a_page_is_bounded_in_bytes() -> None:
    answer = written(9, 400_000, rows_a_page=1000)
    assert page(answer, 0) == [0, 1] and answer.pages == 2


def test_answers_of_one_user_push_out_his_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    kept = Answers(lambda: now[0])
    theirs = written(4, caller=BOB)
    list(theirs.page(0))
    other = kept.keep(theirs)
    keys = []
    for _ in range(answers.NUMBER_OF_ONE + 1):
        one = written(4)
        list(one.page(0))
        keys.append(kept.keep(one))
    with pytest.raises(Refusal):
        kept.find(f"{keys[0]}.1", ANN, "jobs")
    assert kept.find(f"{keys[1]}.1", ANN, "jobs")[2] == 1
    assert kept.find(f"{other}.1", BOB, "jobs")[1] is theirs
    for cursor in (f"{other}.0", f"{other}.2", f"{other}.-1", f"{other}.{'9' * 5000}", other, "", "."):
        with pytest.raises(Refusal):
            kept.find(cursor, BOB, "jobs")
    now[0] = answers.LIVE_SECONDS + 1
    with pytest.raises(Refusal) as gone:
        kept.find(f"{other}.1", BOB, "jobs")
    assert gone.value.status == 410 and kept.size == 0


@pytest.mark.parametrize(
    ("peer", "client", "private"),
    [
        (Peer(7, ""), "uid 7", True),
        (Peer(None, "192.0.2.1"), "192.0.2.1", False),
        (Peer(None, "192.0.2.1", tls=True), "192.0.2.1", True),
        (Peer(None, "127.0.0.1"), "127.0.0.1", True),
        (Peer(None, "2001:db8:1:2:3::9"), "2001:db8:1:2::/64", False),
        (Peer(None, "::1"), "::/64", True),
        (Peer(None, "fe80::1%eth0"), "fe80::/64", False),
    ],
)
def test_peers(peer: Peer, client: str, private: bool) -> None:
    assert (peer.client, peer.private) == (client, private)


def test_who_finds_no_room_comes_again_later_where_there_are_many() -> None:
    later = Later()
    assert {later.seconds("n1") for _ in range(500)} == set(range(1, 9)), "one node, however often it comes"
    told = [later.seconds(f"n{number}") for number in range(2_000)]
    assert max(told) <= 60
    crowd = [later.seconds(f"n{number}") for number in range(2_000)]
    assert max(crowd) == 60 and 25 < sum(crowd) / len(crowd) < 36, "evenly over a minute, not all at once"
    for number in range(2_000):
        later.came(f"n{number}")
    assert max(later.seconds("n1") for _ in range(500)) == 8


def test_who_mends_comes_first_and_is_never_sent_away() -> None:
    order: list[str] = []

    async def one(turns: Turns, client: str, first: bool = False) -> None:
        async with turns.turn(client, 5, first=first):
            order.append(client)
            await asyncio.sleep(0.01)

    async def all_of_them() -> None:
        turns = Turns(1, most_waiting=3)
        asked = [asyncio.ensure_future(one(turns, client)) for client in ("ann", "bob", "eve", "dan")]
        await asyncio.sleep(0)
        asked.append(asyncio.ensure_future(one(turns, "root", first=True)))
        await asyncio.gather(*asked)

    asyncio.run(all_of_them())
    assert order == ["ann", "root", "bob", "eve", "dan"]


def test_an_answer_lives_for_an_hour_however_often_its_pages_are_asked_for() -> None:
    now = [0.0]
    kept, answer = Answers(lambda: now[0]), written(4)
    list(answer.page(0))
    key = kept.keep(answer)
    for now[0] in range(250, int(answers.LONGEST_SECONDS), 250):
        assert kept.find(f"{key}.1", ANN, "jobs")[1] is answer
    now[0] = answers.LONGEST_SECONDS + 1
    with pytest.raises(Refusal):
        kept.find(f"{key}.1", ANN, "jobs")
