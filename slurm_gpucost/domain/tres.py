"""TRES strings, as ``AllocTRES`` has them: ``billing=4,cpu=4,gres/gpu:a100=2,gres/gpu=2,mem=8G,node=1``."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

GPU_GRES = ("gpu", "shard", "mps")
"""The GRES that are GPUs, or parts of one."""


class GresCount(NamedTuple):
    """So many units of a GRES; ``type`` is '' where the accounting names none."""

    name: str
    type: str
    units: int


@lru_cache(maxsize=65536)
def gpu_gres(tres: str) -> tuple[GresCount, ...]:
    """The GPU GRES of a TRES string, each unit once.

    ``gres/gpu=2`` beside ``gres/gpu:a100=2`` is the same two GPUs; an untyped count above the sum of the typed
    ones leaves the difference untyped. Raises ValueError naming the part that is not of the form.
    """
    untyped: dict[str, int] = {}
    typed: dict[tuple[str, str], int] = {}
    for part in tres.split(","):
        if not part.startswith("gres/"):
            continue
        key, equals, text = part[5:].partition("=")
        name, _, kind = key.partition(":")
        if name not in GPU_GRES:
            continue
        if not equals or not text.isdigit() or not text.isascii() or len(text) > 9:
            raise ValueError(f"AllocTRES: '{part}' is not gres/NAME[:TYPE]=COUNT")
        if kind:
            typed[name, kind] = int(text)
        else:
            untyped[name] = int(text)
    counts = [GresCount(name, kind, n) for (name, kind), n in typed.items() if n]
    for name, total in untyped.items():
        rest = total - sum(n for (other, _), n in typed.items() if other == name)
        if rest > 0:
            counts.append(GresCount(name, "", rest))
    return tuple(sorted(counts))


MOST_INDEX = 65_535
"""Of a GRES on a node; what is larger is none."""


def parse_index_list(text: str) -> list[int] | None:
    """The integers of ``0,2-4``; None when the text is no such list (UUIDs, ``NoDevFiles``, '')."""
    indexes: list[int] = []
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if not text.isascii() or len(part) > 40 or not low.isdigit() or (dash and not high.isdigit()):
            return None
        first, last = int(low), int(high or low)
        if last < first or last - first > 4096 or last > MOST_INDEX:
            return None
        indexes.extend(range(first, last + 1))
    return indexes
