"""What the HTTP side needs of identity and rights; ``wiring`` has the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from slurm_gpucost.collector.peers import Peer
from slurm_gpucost.domain.access import Viewer
from slurm_gpucost.services.callers import Caller


class Asking(NamedTuple):
    """A request, as far as it says who asks."""

    method: str
    path: str
    """With its query, as it was sent."""
    host: str
    """The header Host, as it was sent."""
    authorization: str
    """The header; '': none."""
    body: bytes
    peer: Peer


class People(Protocol):
    """Who asks, and what he may."""

    async def caller(self, asking: Asking) -> Caller:
        """Raises Unidentified, which says how to be told."""

    async def viewer(self, caller: Caller) -> Viewer:
        """His rights now."""

    async def looked(self, caller: Caller, name: str, params: Mapping[str, Any]) -> None:
        """Write down that he is shown cost items; only then they are shown. Raises LedgerError."""
