from __future__ import annotations

import time
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.policy import DEFAULT_RULES, STATES, Facts, Rule, decide, default_rules
from slurm_gpucost.costing.policy_faults import faults

ZERO, ONE = Fraction(0), Fraction(1)
HOUR = 3_600_000
REST = Rule("rest", ONE)


def rule(name: str = "r", factor: Any = ONE, shorter: Any = None, **match: tuple[str, ...]) -> Rule:
    return Rule(name, factor, match, shorter)


@pytest.mark.parametrize(
    ("state", "factor", "name"),
    [
        ("NODE_FAIL", ZERO, "node failure"),
        ("BOOT_FAIL", ZERO, "node failure"),
        ("REVOKED", ZERO, "never ran here"),
        *((s, ONE, "held time") for s in ("PREEMPTED", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY")),
        *((s, ONE, "held time") for s in ("DEADLINE", "RUNNING", "REQUEUED", "RESIZING", "A_STATE_OF_2030")),
    ],
)
def test_what_the_default_table_bills(state: str, factor: Fraction, name: str) -> None:
    decision = decide(Facts(state, elapsed_ms=HOUR), DEFAULT_RULES)
    assert (decision.factor, decision.rule.name) == (factor, name)
    assert DEFAULT_RULES[decision.row - 1] is decision.rule
    assert decision.text == f"{name} (rule {decision.row})"


@pytest.mark.parametrize("state", STATES)
def test_zero_length_suspension_and_declared_outages_are_never_billed(state: str) -> None:
    assert decide(Facts(state, elapsed_ms=0), DEFAULT_RULES).factor == 0
    assert decide(Facts(state, cause="suspended", elapsed_ms=HOUR), DEFAULT_RULES).factor == 0
    assert decide(Facts(state, outage="declared", elapsed_ms=HOUR), DEFAULT_RULES).factor == 0


def test_a_job_that_goes_on_while_its_node_drains_is_billed() -> None:
    assert decide(Facts("COMPLETED", outage="drained", elapsed_ms=HOUR), DEFAULT_RULES).factor == 1


@pytest.mark.parametrize(("seconds", "factor"), [(599, ZERO), (600, ONE), (601, ONE)])
def test_preempted_is_billed_unless_shorter_than_declared(seconds: int, factor: Fraction) -> None:
    rules = default_rules(600)
    assert decide(Facts("PREEMPTED", elapsed_ms=seconds * 1000), rules).factor == factor
    assert decide(Facts("PREEMPTED", elapsed_ms=seconds * 1000), DEFAULT_RULES).factor == 1
    assert decide(Facts("COMPLETED", elapsed_ms=seconds * 1000), rules).factor == 1


def test_the_default_tables_have_no_faults() -> None:
    assert faults(DEFAULT_RULES) == []
    assert faults(default_rules(600)) == []


def test_columns_none_any_and_numbers() -> None:
    rules = [
        rule("none", reservation=("",), qos=("low", "scavenge")),
        rule("reserved", reservation=("*",)),
        rule("second", attempt=("2",)),
        rule("later", attempt=("4-4", "5-5", "7+"), partition=()),
        REST,
    ]

    def name(**facts: Any) -> str:
        return decide(Facts("COMPLETED", **facts), rules).rule.name

    assert name(qos="low") == "none"
    assert name(qos="low", reservation="course") == "reserved"
    assert [name(attempt=n) for n in range(1, 9)] == "rest second rest later later rest later later".split()


def test_a_float_or_a_table_without_an_end_raises() -> None:
    with pytest.raises(TypeError, match="factor must be an int or a Fraction, not float"):
        decide(Facts("FAILED"), [rule(factor=0.5)])
    with pytest.raises(ValueError, match="no rule matches"):
        decide(Facts("FAILED"), [rule(state=("COMPLETED",))])


def test_all_faults_come_at_once_with_their_keys() -> None:
    assert faults(
        [
            rule("a", Fraction(3, 2), state=("NODEFAIL", "FAILED")),
            rule("", 0.5, qoss=("x",)),
            rule("a", Fraction(-1), attempt=("0", "2-1", "3+")),
            rule("b", shorter=0, cause=("sleepy",), outage=("down", "*", "")),
            rule("c", state=("",)),
            REST,
        ]
    ) == [
        ("0.factor", "the factor 3/2 is not between 0 and 1"),
        ("0.state", "there is no state 'NODEFAIL'; do you mean NODE_FAIL?"),
        ("1.name", "a rule needs a name: charges refer to it"),
        ("1.factor", "the factor must be exact, not a float"),
        ("1.qoss", "there is no column 'qoss'; do you mean qos?"),
        ("2.name", "a rule before is called 'a' already"),
        ("2.factor", "the factor -1 is not between 0 and 1"),
        ("2.attempt", "'0' is no number of an attempt; write 1, 2-4 or 2+"),
        ("2.attempt", "'2-1' is no number of an attempt; write 1, 2-4 or 2+"),
        (
            "3.cause",
            "there is no cause 'sleepy'; there are suspended, cancelled_by_user, cancelled_by_other, vanished",
        ),
        ("3.shorter_than_seconds", "0 is no whole number of seconds above 0"),
        (
            "4.state",
            f"there is no state ''; there are {', '.join(STATES)}",
        ),
    ]


def test_a_dead_row_is_told_with_those_that_took_what_it_could() -> None:
    dead = [
        rule("first", attempt=("1",)),
        rule("debug", qos=("debug",)),
        rule("again", attempt=("2+",), qos=("low",)),
        rule("low", qos=("low",)),
        rule("short", shorter=60, qos=("high",)),
        rule("shorter", shorter=30, qos=("high",), attempt=("3",)),
        REST,
        rule("after", state=("FAILED",)),
    ]
    assert faults(dead) == [
        ("3", "rule 'low' can never match: all it could is taken before, by 'first', 'again'"),
        ("5", "rule 'shorter' can never match: all it could is taken before, by 'short'"),
        ("7", "rule 'after' can never match: all it could is taken before, by 'rest'"),
    ]


def test_what_no_row_matches_is_told_by_an_example() -> None:
    assert faults([]) == [("", "no rule matches anything: let the last rule have no columns")]
    table = [rule("a", attempt=("1-3",)), rule("b", reservation=("*",)), rule("c", shorter=60)]
    assert faults(table) == [
        (
            "",
            "no rule matches attempt 4, no reservation, an elapsed time of 60 s or more:"
            " let the last rule have no columns",
        )
    ]
    # All states of today are not all there can be.
    assert faults([rule("a", state=STATES)])[0][1].startswith("no rule matches state any other:")
    assert faults([rule("a", state=STATES), rule("b", state=("*",))]) == []
    # A last row that is at fault itself may still be meant to match all.
    assert [key for key, _ in faults([rule("a", state=STATES), rule("b", quos=())])] == ["1.quos"]


def test_a_table_of_a_hundred_rows_is_checked_in_moments() -> None:
    rows = [
        rule(f"r{n}", state=(STATES[n % 15], STATES[n % 7]), qos=(f"q{n % 11}",), attempt=(f"{n % 5 + 1}+",), shorter=n)
        for n in range(1, 101)
    ]
    began = time.process_time()
    faults([*rows, REST])
    assert time.process_time() - began < 5


TEXTS = st.lists(st.sampled_from(["", "*", "x", "y"]), max_size=2).map(tuple)
TABLES = st.lists(
    st.fixed_dictionaries(
        {
            "state": st.lists(st.sampled_from(["FAILED", "TIMEOUT", "*"]), max_size=2).map(tuple),
            "attempt": st.lists(st.sampled_from(["1", "2", "1-2", "2+", "3+", "2-3", "1+"]), max_size=2).map(tuple),
            "qos": TEXTS,
            "reservation": TEXTS,
            "shorter": st.sampled_from([None, None, 1, 60]),
        }
    ),
    max_size=7,
)
POINTS = list(product(["FAILED", "TIMEOUT", "COMPLETED"], range(1, 6), ["", "x", "y", "z"], ["", "x", "y", "z"]))
LENGTHS = (0, 999, 1000, 59_999, 60_000)


def fits(row: dict[str, Any], point: tuple[str, int, str, str], length: int) -> bool:
    """The words of the columns, read once more: an attempt's texts as sets of small numbers."""
    state, attempt, qos, reservation = point
    ways = {
        "1": {1},
        "2": {2},
        "1-2": {1, 2},
        "2-3": {2, 3},
        "2+": {2, 3, 4, 5},
        "3+": {3, 4, 5},
        "1+": {1, 2, 3, 4, 5},
    }
    texts = [(row["state"], state), (row["qos"], qos), (row["reservation"], reservation)]
    return (
        all(not wanted or fact in wanted or ("*" in wanted and bool(fact)) for wanted, fact in texts)
        and (not row["attempt"] or any(attempt in ways[text] for text in row["attempt"]))
        and (row["shorter"] is None or length < row["shorter"] * 1000)
    )


@given(TABLES)
def test_dead_rows_and_holes_are_those_that_trying_all_facts_finds(rows: list[dict[str, Any]]) -> None:
    table = [rule(f"r{n}", **row) for n, row in enumerate(rows)]
    alive: set[int] = set()
    hole = False
    for point in POINTS:
        for length in LENGTHS:
            first = next((n for n, row in enumerate(rows) if fits(row, point, length)), None)
            hole = hole or first is None
            alive |= set() if first is None else {first}
    found = dict(faults(table))
    assert {int(key) for key in found if key} == set(range(len(rows))) - alive
    assert ("" in found) == hole


@given(TABLES, st.sampled_from(POINTS), st.sampled_from(LENGTHS))
def test_the_first_row_that_fits_decides(rows: list[dict[str, Any]], point: Any, length: int) -> None:
    state, attempt, qos, reservation = point
    facts = Facts(state, attempt=attempt, qos=qos, reservation=reservation, elapsed_ms=length)
    table = [rule(f"r{n}", Fraction(n, 10), **row) for n, row in enumerate(rows)]
    expected = next((n for n, row in enumerate(rows, 1) if fits(row, point, length)), len(rows) + 1)
    decision = decide(facts, [*table, REST])
    assert (decision.row, decision.factor) == (expected, [*table, REST][expected - 1].factor)
