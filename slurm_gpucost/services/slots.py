"""Which device is in which slot of a node, by its ``slurmd -G``: asked at its first event and when devices changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Protocol

from slurm_gpucost.domain.evidence import DeviceReport
from slurm_gpucost.domain.inventory import slot_types
from slurm_gpucost.ledger import reports
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import taking
from slurm_gpucost.services.background import Background
from slurm_gpucost.services.trouble import Trouble
from slurm_gpucost.sources import slurmd, slurmd_gres


class SlotSettings(Protocol):
    """A config, as far as it is needed here."""

    @property
    def cluster(self) -> str:
        """The cluster's name."""

    @property
    def slurmd(self) -> str:
        """The slurmd to run."""

    @property
    def slurm_conf(self) -> Path | None:
        """Its configuration, where it is in no usual place."""


class Slots:
    """``clock`` gives ms UTC."""

    def __init__(
        self, settings: SlotSettings, ledger: Ledger, clock: Callable[[], int], background: Background, trouble: Trouble
    ) -> None:
        self.nodes: set[str] = set()
        """Those that have been asked."""
        self.known: dict[tuple[str, int], str] = {}
        """The device of each (node, GRES index), as far as it is known."""
        self.devices: list[DeviceReport] = []
        """What the driver lists."""
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._background = background
        self._trouble = trouble

    def heard_of(self, node: str) -> None:
        """A node has jobs; its slots are asked for once."""
        if node and node not in self.nodes:
            self.nodes.add(node)
            self._ask(node)

    def listed(self, devices: list[DeviceReport]) -> None:
        """The driver lists other devices than before: the ledger gets them, and all nodes are asked again."""
        if [(r.device, r.digest) for r in devices] != [(r.device, r.digest) for r in self.devices]:
            taking.take_inventory(self._ledger, devices, [])
            for node in sorted(self.nodes):
                self._ask(node)
        self.devices = devices

    def take(self, node: str, gres: Iterable[slurmd_gres.GresSlot]) -> None:
        """What ``slurmd -G`` said of a node."""
        gres = list(gres)
        name = _question(node)
        said = sum(slot.name == "gpu" for slot in gres)
        types = slot_types(reports.latest_nodes(self._ledger.connection, self._settings.cluster).get(node, ""))
        if types and len(types) != said:  # 22.05 prints a MIG instance of several device files once for each of them
            self._trouble.say(name, f"{node}: slurmd lists {said} GPUs, the controller {len(types)}: not taken")
            return
        slots = slurmd_gres.slots(self._settings.cluster, node, gres, self.devices, self._clock())
        try:
            taking.take_inventory(self._ledger, [], slots)
        except Exception:
            self.nodes.discard(node)  # its next event asks again
            raise
        self.known = {slot: device for slot, device in self.known.items() if slot[0] != node}
        self.known |= {(node, slot.gres_index): slot.device for slot in slots if slot.device}

    def _ask(self, node: str) -> None:
        def work() -> None:
            try:
                gres = slurmd_gres.parse(slurmd.ask_gres(self._settings.slurmd, node, self._settings.slurm_conf))
            except Exception:
                self._background.hand_over(partial(self.nodes.discard, node))  # its next event asks again
                raise
            self._background.hand_over(partial(self.take, node, gres))

        self._background.run(_question(node), work)


def _question(node: str) -> str:
    return f"slurmd -G -N {node}"
