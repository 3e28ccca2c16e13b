"""What tells a collector who asks: over its Unix socket the kernel does, elsewhere a token, else MUNGE."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from slurm_gpucost.domain.errors import GpucostError, SourceError

if TYPE_CHECKING:
    from slurm_gpucost.sources.collector_endpoint import Endpoint


class Credentials:
    """Headers for requests to a collector. Raises GpucostError for a token that cannot be used."""

    def __init__(self, at: Endpoint, munge_socket: Path | None = None) -> None:
        self._host = at.host
        self._munge_socket = munge_socket
        self._token = _token(at) if at.host else ""
        self.lack = ""
        """Why requests say nothing of who asks, where they do not."""

    def __call__(self, method: str, path: str, body: bytes) -> Mapping[str, str]:
        """For one request."""
        if not self._host:
            return {}
        if self._token:
            return {"Authorization": f"Bearer {self._token}"}
        from slurm_gpucost.sources import munge

        try:
            return munge.credentials(method, path, body, self._host, self._munge_socket)
        except SourceError as error:  # the collector says whether it wants to know
            self.lack = str(error)
            return {}


def _token(at: Endpoint) -> str:
    """Of GPUCOST_TOKEN_FILE, else of ~/.config/gpucost/token where that is; '' : none."""
    named = os.environ.get("GPUCOST_TOKEN_FILE")
    path = Path(named) if named else _home() / ".config/gpucost/token"
    if not named and (not at.private or not _is_there(path)):
        return ""
    if not at.private:
        raise GpucostError(f"{at.url}: a token goes over https only, or to this host: others could read it on the way")
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise GpucostError(f"{path}: others may read this token; chmod 600 it")
            token = file.read(4096).decode("ascii", "replace").strip()
    except OSError as error:
        raise GpucostError(f"{path}: the token cannot be read ({error.strerror})") from None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise GpucostError(f"{path}: is no token; `gpucost token issue` makes one")
    return token


def _is_there(path: Path) -> bool:
    """Where one cannot look, as in the home that another user left in HOME, there is none of one's own."""
    try:
        return path.exists()
    except OSError:
        return False


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user whom nobody knows
        return Path("/")
