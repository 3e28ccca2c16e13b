"""Holding the NVIDIA driver through nvidia-ml-py: the only importer of ``pynvml``, and that late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slurm_gpucost.domain.errors import SourceError

_NOT_NOW = ("NVML_ERROR_NOT_FOUND", "NVML_ERROR_NO_DATA")
_NEVER = (
    "NVML_ERROR_NOT_SUPPORTED",
    "NVML_ERROR_NO_PERMISSION",
    "NVML_ERROR_FUNCTION_NOT_FOUND",
    "NVML_ERROR_ARGUMENT_VERSION_MISMATCH",
    "NVML_ERROR_DEPRECATED",
)
"""Answers that mean: this device or driver does not tell that. Any other error: the device cannot be read now."""

_NO_DRIVER = {
    "NVML_ERROR_LIBRARY_NOT_FOUND": "no NVIDIA driver: libnvidia-ml.so.1 is not on this host",
    "NVML_ERROR_DRIVER_NOT_LOADED": "the NVIDIA driver is not loaded (`lsmod | grep nvidia` shows whether it is)",
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": (
        "the NVIDIA driver's library and kernel module differ in version: reload the module or reboot"
    ),
    "NVML_ERROR_NO_PERMISSION": "this user may not open the NVIDIA driver's device files",
}


class Driver:
    """The driver, held open. ``nvml`` is the binding's module."""

    def __init__(self) -> None:
        """Take hold of it. Raises SourceError with the reason in one line."""
        try:
            import pynvml
        except ImportError:
            raise SourceError("nvidia-ml-py is not installed: `pip install nvidia-ml-py`") from None
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            told = {getattr(pynvml, name): text for name, text in _NO_DRIVER.items()}
            raise SourceError(told.get(error.value, f"the NVIDIA driver cannot be opened: {error}")) from None
        self.nvml: Any = pynvml
        self.error: type[Exception] = pynvml.NVMLError
        self._never = frozenset(getattr(pynvml, name) for name in _NEVER)
        self._not_now = frozenset(getattr(pynvml, name) for name in _NOT_NOW)

    def close(self) -> None:
        """Let go of it. Raises SourceError where it is still held."""
        try:
            self.nvml.nvmlShutdown()
        except self.error as error:
            if getattr(error, "value", None) != self.nvml.NVML_ERROR_UNINITIALIZED:
                raise SourceError(f"the NVIDIA driver cannot be let go of: {error}") from None

    def ask(self, call: Callable[..., Any], *arguments: Any, lacks: set[object] | None = None) -> Any:
        """What the driver answers; None where it does not tell that of this device.

        What it never tells is noted in ``lacks`` and not asked again: an answer that it cannot give costs as much as
        one that it can.
        """
        if lacks is not None and call in lacks:
            return None
        try:
            return call(*arguments)
        except self.nvml.NVMLError as error:
            if error.value in self._never:
                if lacks is not None:
                    lacks.add(call)
                return None
            if error.value in self._not_now:
                return None
            raise

    def memory(self, handle: Any, lacks: set[object] | None = None) -> Any:
        """Version 2 counts the driver's own share apart; before driver 510 there is only version 1."""
        call, v2 = self.nvml.nvmlDeviceGetMemoryInfo, "nvmlDeviceGetMemoryInfo_v2"
        if lacks is None or v2 not in lacks:
            newer = self.ask(call, handle, self.nvml.nvmlMemory_v2)
            if newer is not None:
                return newer
            if lacks is not None:
                lacks.add(v2)
        return self.ask(call, handle, lacks=lacks)
