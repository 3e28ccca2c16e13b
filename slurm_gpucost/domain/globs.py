"""Whether two patterns of device names could match one and the same name."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache

ANYTHING = "*"


def intersect(one: str, other: str) -> bool:
    """Whether some text matches both, as fnmatchcase reads them: exact, with ``*``, ``?``, ``[...]``."""
    left, right = list(_tokens(one)), list(_tokens(other))
    at_end = (len(left), len(right))
    seen, todo = {(0, 0)}, [(0, 0)]
    while todo:  # pairs of places that both patterns reach with one text
        i, j = todo.pop()
        if (i, j) == at_end:
            return True
        first, second = (left[i : i + 1] or [""])[0], (right[j : j + 1] or [""])[0]
        steps = []
        if first == ANYTHING:
            steps += [(i + 1, j), *([(i, j + 1)] if _share("?", second) else [])]
        if second == ANYTHING:
            steps += [(i, j + 1), *([(i + 1, j)] if _share(first, "?") else [])]
        if ANYTHING not in (first, second) and _share(first, second):
            steps.append((i + 1, j + 1))
        todo += [step for step in steps if step not in seen]
        seen.update(steps)
    return False


def _tokens(pattern: str) -> Iterator[str]:
    """Its parts, each a pattern of one character, or ``*``."""
    at = 0
    while at < len(pattern):
        end = at + 1
        if pattern[at] == "[":
            begin = at + (2 if pattern[at + 1 : at + 2] == "!" else 1)
            close = pattern.find("]", begin + 1)  # a ] right at the beginning is one of the set
            end = close + 1 or end  # without an end, [ is a character like any other
        yield pattern[at:end]
        at = end


@lru_cache
def _share(one: str, other: str) -> bool:
    """Whether two patterns of one character have one in common; the end, '', has none.

    What a set holds changes only at characters that it names, so these and their neighbours are all that need a look.
    """
    near = {ord(c) + off for c in one + other for off in (-1, 0, 1)}
    return any(fnmatchcase(chr(n), one) and fnmatchcase(chr(n), other) for n in near if 0 <= n <= 0x10FFFF)
