"""Files that a command writes appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from slurm_gpucost.domain.errors import GpucostError


def write_whole(path: Path, text: str, *, replace: bool = True, check: Callable[[Path], object] | None = None) -> None:
    """Write ``text`` beside ``path``, durably, then give it the name. Mode as the umask allows.

    ``check`` may look at the file before it has the name, and raise. Without ``replace`` a file that is there
    already stays, and GpucostError is raised, as where the file cannot be written.
    """
    if not path.parent.is_dir():
        raise GpucostError(f"{path}: its directory does not exist; make it, or name another file")
    mask = os.umask(0)
    os.umask(mask)
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with open(handle, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 (a descriptor)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o666 & ~mask)
        if check:
            check(temporary)
        if replace:
            temporary.replace(path)
            temporary = None
        else:
            path.hardlink_to(temporary)
    except FileExistsError:
        raise GpucostError(f"{path}: is there already and stays as it is") from None
    except OSError as error:
        raise GpucostError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
