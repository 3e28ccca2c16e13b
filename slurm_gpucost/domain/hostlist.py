"""Slurm's hostlist expressions: ``n[1-2,05],head`` names n1, n2, n05 and head."""

from __future__ import annotations

import re
from itertools import product
from math import prod

_PART = re.compile(r"(?:[^,\[\]]|\[[^\]]*\])+")
_PIECE = re.compile(r"\[([^\]]*)\]|([^\[\]]+)")
_MOST = 100_000


def expand(expression: str) -> list[str]:
    """The names, in the order written. Raises ValueError for text that is no hostlist."""
    if expression.count("[") != expression.count("]"):
        raise ValueError(f"'{expression}' is no hostlist: brackets do not match")
    names: list[str] = []
    for part in _PART.findall(expression):
        pieces = [_ranges(inside) if inside else [text] for inside, text in _PIECE.findall(part)]
        if len(names) + prod(map(len, pieces)) > _MOST:
            raise ValueError(f"'{expression}' names more than {_MOST} hosts")
        names += ["".join(choice) for choice in product(*pieces)]
    return names


def _ranges(inside: str) -> list[str]:
    numbers: list[str] = []
    for item in inside.split(","):
        low, dash, high = item.partition("-")
        if not item.isascii() or len(item) > 40 or not low.isdigit() or (dash and not high.isdigit()):
            raise ValueError(f"'[{inside}]' is no list of ranges")
        last = int(high or low)
        if last - int(low) > _MOST:
            raise ValueError(f"'[{inside}]' names too many hosts")
        numbers += [f"{n:0{len(low)}d}" for n in range(int(low), last + 1)]
    return numbers
