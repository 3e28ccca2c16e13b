"""The certificate that the collector shows: checked before it begins, and read anew when its files are replaced."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

from slurm_gpucost.domain.errors import ConfigError

log = logging.getLogger("gpucostd")
_Files = tuple[tuple[int, int, int], ...]


class Certificate:
    """Of two PEM files. Raises ConfigError where they cannot be used."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._seen = self._look()
        if why := self._fault():
            raise ConfigError(f"collector.tls_cert {certificate}, collector.tls_key {key}: cannot be used ({why})")

    @property
    def words(self) -> dict[str, Any]:
        """For uvicorn's config."""
        return {"ssl_certfile": self._certificate, "ssl_keyfile": self._key}

    def renew(self, context: ssl.SSLContext) -> None:
        """Show new connections what is in the files now, where that is something else, and whole.

        Who replaces them writes one after the other: between the two they do not fit, and what was read before stays.
        """
        now = self._look()
        if now == self._seen:
            return
        self._seen = now
        if why := self._fault():
            log.warning("certificate %s: not read anew (%s); the old one is shown", self._certificate, why)
            return
        context.load_cert_chain(self._certificate, self._key)
        log.info("certificate %s: read anew", self._certificate)

    def _fault(self) -> str:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key)
        except (OSError, ssl.SSLError) as error:
            return error.strerror or str(error)
        return ""

    def _look(self) -> _Files:
        """What tells that a file was replaced or written; links to it are followed, as those who renew lay them."""
        found = []
        for path in (self._certificate, self._key):
            try:
                status = path.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(found)


def of(certificate: Path | None, key: Path | None) -> Certificate | None:
    """None for none of both. Raises ConfigError for one of them, and where they cannot be used."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("collector.tls_cert and collector.tls_key: give both, or neither")
    return Certificate(certificate, key)
