"""The event files of a whole story, told again to new ledgers with something wrong with them, after the accounting."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.cluster.fault_site import Site

HOUR_NS = 3_600_000_000_000
KEPT = "/scratch/kept"
"""The event files as the hooks left them, with their modification times."""
Files = list[tuple[str, bytes, int]]
"""Name, content, modification time in ns."""


def kept(cluster: Site) -> Files:
    """All event files of the story, in order of name."""
    paths = sorted(cluster.path(KEPT).iterdir())
    return [(p.name, p.read_bytes(), p.stat().st_mtime_ns) for p in paths if not p.name.startswith(".")]


def node_of(content: bytes) -> str:
    """The node that an event file names."""
    return next(w for w in content.decode(errors="replace").split("\0") if w.startswith("NODE=")).removeprefix("NODE=")


def twice(files: Files) -> Files:
    """Each file, and a copy of it that looks newer (a rotated or restored spool)."""
    return [*files, *((f"copy.{name}", content, at + 7_000_000_000) for name, content, at in files)]


def backwards(files: Files) -> Files:
    """The last comes first."""
    return files[::-1]


def truncated(files: Files) -> Files:
    """Every third is cut somewhere, one of them to nothing (a full spool that did not say so, a power cut)."""
    return [
        (name, content[: len(content) * (i % 9) // 9] if i % 3 == 0 else content, at)
        for i, (name, content, at) in enumerate(files)
    ]


def is_cut(position: int) -> bool:
    """Whether ``truncated`` cuts the file at this position."""
    return position % 3 == 0


def clock(offset_ns: int) -> Callable[[Files], Files]:
    """n2's clock is wrong by so much."""

    def changed(files: Files) -> Files:
        return [(name, content, at + (offset_ns if node_of(content) == "n2" else 0)) for name, content, at in files]

    return changed


FEEDS: dict[str, Callable[[Files], Files]] = {
    "twice": twice,
    "backwards": backwards,
    "truncated": truncated,
    "an hour ahead": clock(HOUR_NS),
    "an hour behind": clock(-HOUR_NS),
    "a day ahead": clock(24 * HOUR_NS),
    "a day behind": clock(-24 * HOUR_NS),
    "two minutes behind": clock(-HOUR_NS // 30),
}


def put(cluster: Site, spool: str, files: Files) -> None:
    """Put event files into a spool as a hook does: by temporary name and rename."""
    place = cluster.path(spool)
    place.mkdir(parents=True, exist_ok=True)
    for name, content, at in files:
        path = place / f".tmp.{name}"
        path.write_bytes(content)
        os.utime(path, ns=(at, at))
        path.rename(place / name)
