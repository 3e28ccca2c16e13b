"""What is wrong with a table of billing rules: all of it in one go. Pure.

Whether a row can ever match is decided exactly. Each column has finitely many values that make a difference: those
that rows name, and one for all others. A row is then a box in their product, and it is dead if the boxes of the rows
before it cover its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fractions import Fraction

from slurm_gpucost.costing.policy import ANY, CAUSES, COLUMNS, NONE, OUTAGES, STATES, Rule, numbers

Fault = tuple[str, str]
"""Key relative to the table (``2.state``: rows count from 0; '' is the table itself), and a sentence."""
_KNOWN = {"state": STATES, "cause": CAUSES, "outage": OUTAGES}
_OTHER = "any other"
_LENGTH = "shorter_than_seconds"
Value = str | int
Box = Mapping[str, frozenset[Value]]


def faults(rules: Sequence[Rule]) -> list[Fault]:
    """All faults of a table, in its order; those of the table as a whole last."""
    found: list[Fault] = []
    sound: list[tuple[int, Rule]] = []
    names: set[str] = set()
    for row, rule in enumerate(rules):
        if not rule.name:
            found.append((f"{row}.name", "a rule needs a name: charges refer to it"))
        elif rule.name in names:
            found.append((f"{row}.name", f"a rule before is called '{rule.name}' already"))
        names.add(rule.name)
        if isinstance(rule.factor, bool) or not isinstance(rule.factor, int | Fraction):
            found.append((f"{row}.factor", f"the factor must be exact, not a {type(rule.factor).__name__}"))
        elif not 0 <= rule.factor <= 1:
            found.append((f"{row}.factor", f"the factor {rule.factor} is not between 0 and 1"))
        wrong = [(f"{row}.{key}", sentence) for key, sentence in _wrong_columns(rule)]
        found += wrong
        if not wrong:
            sound.append((row, rule))
    return found + _unreachable(sound, whole=len(sound) == len(rules))


def _wrong_columns(rule: Rule) -> Iterable[Fault]:
    for column, values in rule.match.items():
        if column not in COLUMNS:
            yield column, f"there is no column '{column}'{_near(column, (*COLUMNS, _LENGTH))}"
        elif column == "attempt":
            for value in values:
                try:
                    numbers((value,))
                except ValueError as error:
                    yield column, str(error)
        elif column in _KNOWN:
            for value in values:
                if value not in (*_KNOWN[column], ANY) and (value != NONE or column == "state"):
                    yield column, f"there is no {column} '{value}'{_near(value, _KNOWN[column])}"
    length = rule.shorter_than_seconds
    if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 1):
        yield _LENGTH, f"{length} is no whole number of seconds above 0"


def _near(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word.upper() if known is STATES else word.lower(), known, 1)
    return f"; do you mean {close[0]}?" if close else f"; there are {', '.join(known)}"


def _unreachable(rows: Sequence[tuple[int, Rule]], *, whole: bool) -> list[Fault]:
    values = _values([rule for _, rule in rows])
    everything = {column: frozenset(those) for column, those in values.items()}
    boxes = [_box(rule, values) for _, rule in rows]
    found: list[Fault] = []
    for n, (row, rule) in enumerate(rows):
        takers = {i for i in range(n) if all(boxes[n][column] <= boxes[i][column] for column in values)}
        if takers or _left(boxes[n], boxes[:n], takers) is None:
            by = ", ".join(f"'{rows[i][1].name}'" for i in sorted(takers))
            found.append((str(row), f"rule '{rule.name}' can never match: all it could is taken before, by {by}"))
    if whole and (left := _left(everything, boxes, set())) is not None:
        example = ", ".join(_shown(column, left[column]) for column in left if left[column] != everything[column])
        found.append(("", f"no rule matches {example or 'anything'}: let the last rule have no columns"))
    return found


def _values(rules: Sequence[Rule]) -> dict[str, list[Value]]:
    """The values of each column that make a difference. Of numbers, each stands for itself up to the next one."""
    values: dict[str, list[Value]] = {}
    for column in COLUMNS:
        named = {value for rule in rules for value in rule.match.get(column, ())} - {ANY, NONE}
        if column == "attempt":
            ends = {n for text in named for low, high in numbers((text,)) for n in (low, high and high + 1) if n}
            values[column] = sorted({1} | ends)
        else:
            none = [] if column == "state" else [NONE]
            other = [] if column in ("cause", "outage") else [_OTHER]
            values[column] = [*none, *sorted(named.union(_KNOWN.get(column, ()))), *other]
    lengths = {rule.shorter_than_seconds for rule in rules if rule.shorter_than_seconds}
    return {**values, _LENGTH: sorted({0} | lengths)}


def _box(rule: Rule, values: Mapping[str, Sequence[Value]]) -> Box:
    box: dict[str, frozenset[Value]] = {}
    for column, those in values.items():
        wanted = rule.match.get(column, ())
        if column == _LENGTH:
            end = rule.shorter_than_seconds
            box[column] = frozenset(v for v in those if end is None or int(v) < end)
        elif column == "attempt" and wanted:
            ranges = numbers(tuple(wanted))
            taken = (v for v in those if any(a <= int(v) and (b is None or int(v) <= b) for a, b in ranges))
            box[column] = frozenset(taken)
        else:
            box[column] = frozenset(v for v in those if not wanted or v in wanted or (v != NONE and ANY in wanted))
    return box


def _left(box: Box, covers: Sequence[Box], used: set[int], at: int = 0) -> Box | None:
    """A part of ``box`` that none of ``covers`` touches, None if there is none; ``used`` are those that took some."""
    for i in range(at, len(covers)):
        cover = covers[i]
        if not all(box[column] & cover[column] for column in box):
            continue
        used.add(i)
        inside = dict(box)
        for column in box:
            outside = inside[column] - cover[column]
            if outside and (left := _left({**inside, column: outside}, covers, used, i + 1)) is not None:
                return left
            inside[column] &= cover[column]
        return None
    return box


def _shown(column: str, values: frozenset[Value]) -> str:
    value = min(values, key=lambda v: (v == _OTHER, v))
    if column == _LENGTH:
        return f"an elapsed time of {value} s or more"
    return f"no {column}" if value == NONE else f"{column} {value}"
