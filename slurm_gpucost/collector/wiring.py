"""Who asks and what he may, by the ledger, MUNGE and the config."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from slurm_gpucost.collector.ports import Asking
from slurm_gpucost.collector.reader import Reader
from slurm_gpucost.collector.writer import Writer
from slurm_gpucost.domain.access import Viewer
from slurm_gpucost.domain.errors import SourceError, Unidentified
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import access_log, callers
from slurm_gpucost.services.access import viewer_of
from slurm_gpucost.services.callers import Caller
from slurm_gpucost.services.callers import Request as Signed
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources.identity import Identity

_LOCAL_THREADS, _MUNGE_THREADS = 2, 4
_MOST_ASKING = 200
"""Who is to be told by MUNGE or a token, at once."""
_HOW = (
    "who asks? On the ledger's host use its Unix socket; elsewhere send `Authorization: MUNGE CREDENTIAL`, or "
    "`Authorization: Bearer TOKEN` with a user's token"
)


class LedgerPeople:
    """:class:`~slurm_gpucost.collector.ports.People` of a ledger."""

    def __init__(self, settings: Settings, reader: Reader, writer: Writer, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._clusters = tuple(one.name for one in settings.clusters)
        self._local = ThreadPoolExecutor(_LOCAL_THREADS, "socket")
        """Of its own, so that root on this host gets in whatever munged and the resolver do."""
        self._threads = ThreadPoolExecutor(_MUNGE_THREADS, "munge")
        self._asking = 0

    async def caller(self, asking: Asking) -> Caller:
        """Raises Unidentified, which says how to be told."""
        peer, settings = asking.peer, self._settings
        if peer.uid is not None:
            return await asyncio.get_running_loop().run_in_executor(self._local, callers.by_socket, peer.uid)
        scheme, _, said = asking.authorization.partition(" ")
        if scheme.lower() == "munge":
            signed = Signed(asking.method, asking.path, asking.host, asking.body)
            return await self._in_thread(callers.by_munge, settings, said.strip(), signed, peer.address)
        if scheme.lower() == "bearer":
            now = self._clock()
            user = await self._reader.look(lambda db: callers.owner_of(db, said.strip(), peer.private, now))
            return await self._in_thread(callers.by_token, settings, user, peer.address)
        raise Unidentified(_HOW)

    async def viewer(self, caller: Caller) -> Viewer:
        """His rights now."""
        now, settings, clusters = self._clock(), self._settings, self._clusters
        return await self._reader.look(lambda db: viewer_of(db, settings, *caller, now_ms=now, clusters=clusters))

    async def looked(self, caller: Caller, name: str, params: Mapping[str, Any]) -> None:
        """Write down that he is shown cost items. Raises LedgerError where that cannot be."""
        who = Identity(caller.user, caller.uid, caller.host, caller.via)
        now = self._clock()

        def note(ledger: Ledger) -> None:
            with ledger.transaction() as db:
                access_log.looked(db, who, name, params, now)

        await asyncio.wrap_future(self._writer.change(note))

    def close(self) -> None:
        """Nobody more."""
        for threads in (self._local, self._threads):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[..., Caller], *arguments: Any) -> Caller:
        """Raises SourceError where too many wait already."""
        if self._asking >= _MOST_ASKING:
            raise SourceError("too many wait for munged or the resolver; try again")
        self._asking += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._asking -= 1
