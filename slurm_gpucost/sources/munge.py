"""MUNGE through its library: who made a request, on which host, when; and that it is this very request.

munged itself refuses what was made with another key, has expired, comes from the future or was decoded before. A
credential says nothing of what it is for, so its payload is a digest of the request: method, path with its query, the
host that is meant, and the body. Whoever has the key, which is root on every host of the cluster, can make any
credential, its uid and its origin among it.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_int, c_long, c_uint32, c_void_p
from functools import cache
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

from slurm_gpucost.domain.errors import SourceError, Unidentified

LIBRARY = "libmunge.so.2"
SCHEME = "MUNGE"
"""As the header Authorization has it."""
TTL_SECONDS = 60
"""How long a credential that we make is good."""
LONGEST = 8192
"""More characters no credential of ours has."""
_TTL, _ORIGIN, _ENCODED, _DECODED, _SOCKET = 4, 5, 6, 7, 8  # enum munge_opt of munge.h
_NO_MUNGED = (6, 7)
"""EMUNGE_SOCKET, EMUNGE_TIMEOUT: it is not the credential's fault."""


class Decoded(NamedTuple):
    """What a good credential says. Times are seconds since 1970, by the clocks of the two hosts."""

    uid: int
    gid: int
    payload: bytes
    encoded: int
    decoded: int
    ttl: int
    origin: str
    """IPv4 address of the host that made it, as its munged has it."""


def binding(method: str, path: str, host: str, body: bytes) -> bytes:
    """The payload of a request's credential: SHA-256 over its parts, each with its length in front.

    ``path`` is with its query; ``host`` is the name by which the collector is called, without a port.
    """
    whole = sha256(b"gpucost request 1")
    for part in (method.upper().encode(), path.encode(), host.lower().encode(), body):
        whole.update(b"%d:" % len(part) + part)
    return whole.digest()


def credentials(method: str, path: str, body: bytes, host: str, socket: Path | None = None) -> dict[str, str]:
    """The header that says who sends this request. Raises SourceError where there is no MUNGE."""
    return {"Authorization": f"{SCHEME} {encode(binding(method, path, host, body), socket)}"}


def encode(payload: bytes, socket: Path | None = None, ttl_seconds: int = TTL_SECONDS) -> str:
    """A credential of this process's user. Raises SourceError."""
    with _Context(socket) as context:
        context.set(_TTL, c_int(ttl_seconds))
        made = c_void_p()
        error = _library().munge_encode(byref(made), context.pointer, payload, len(payload))
        try:
            if error or not made.value:
                raise SourceError(
                    f"MUNGE: no credential was made ({context.said(error)}); does munged run on this host?"
                )
            return ctypes.string_at(made.value).decode("ascii")
        finally:
            _free(made)


def decode(credential: str, socket: Path | None = None) -> Decoded:
    """What a credential says, once. Raises Unidentified where it is not good, SourceError where munged is not there."""
    if len(credential) > LONGEST or not credential.isascii() or "\0" in credential:
        raise Unidentified("MUNGE: this is no credential")
    with _Context(socket) as context:
        buffer, size, uid, gid = c_void_p(), c_int(), c_uint32(), c_uint32()
        told = byref(buffer), byref(size), byref(uid), byref(gid)
        error = _library().munge_decode(credential.encode("ascii"), context.pointer, *told)
        try:
            if error in _NO_MUNGED:
                raise SourceError(f"MUNGE: munged gives no answer on this host ({context.said(error)})")
            if error:
                raise Unidentified(f"MUNGE: the credential is refused: {context.said(error)}")
            payload = ctypes.string_at(buffer.value, size.value) if buffer.value else b""
        finally:
            _free(buffer)
        origin, encoded, decoded, ttl = c_uint32(), c_long(), c_long(), c_int()
        for option, value in ((_ORIGIN, origin), (_ENCODED, encoded), (_DECODED, decoded), (_TTL, ttl)):
            context.get(option, value)
        address = str(IPv4Address(bytes(origin)))  # in_addr is in network order
        return Decoded(uid.value, gid.value, payload, encoded.value, decoded.value, ttl.value, address)


def check(said: Decoded, payload: bytes, lifetime_seconds: int) -> None:
    """Whether it is this request's, and young. Raises Unidentified."""
    if said.payload != payload:
        raise Unidentified(
            "MUNGE: the credential is of another request or for another host; call the collector by a name it knows"
        )
    if not 0 < said.ttl <= lifetime_seconds or abs(said.decoded - said.encoded) > lifetime_seconds:
        raise Unidentified(f"MUNGE: the credential is older, or lives longer, than {lifetime_seconds} s")


class _Context:
    """One for each call: a context is no thread's but its maker's."""

    def __init__(self, socket: Path | None) -> None:
        self._socket = socket

    def __enter__(self) -> _Context:
        made = _library().munge_ctx_create()
        if not made:
            raise SourceError("MUNGE: no memory for a context")
        self.pointer = c_void_p(made)
        if self._socket:
            self.set(_SOCKET, c_char_p(bytes(self._socket)))
        return self

    def __exit__(self, *_: object) -> None:
        _library().munge_ctx_destroy(self.pointer)

    def set(self, option: int, value: c_int | c_char_p) -> None:
        if error := _library().munge_ctx_set(self.pointer, c_int(option), value):
            raise SourceError(f"MUNGE: {self.said(error)}")

    def get(self, option: int, into: c_int | c_long | c_uint32) -> None:
        if error := _library().munge_ctx_get(self.pointer, c_int(option), byref(into)):
            raise SourceError(f"MUNGE: {self.said(error)}")

    def said(self, error: int) -> str:
        library = _library()
        text = library.munge_ctx_strerror(self.pointer) or library.munge_strerror(error) or b"no reason is given"
        return str(text.decode("utf-8", "replace"))


def _free(pointer: c_void_p) -> None:
    if pointer.value:
        ctypes.CDLL(None).free(pointer)


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise SourceError(
            f"MUNGE: {LIBRARY} is not on this host; install it (Debian: libmunge2), or use a token"
        ) from None
    library.munge_encode.argtypes = [c_void_p, c_void_p, c_char_p, c_int]
    library.munge_decode.argtypes = [c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]
    library.munge_ctx_create.restype = c_void_p
    library.munge_ctx_destroy.argtypes = [c_void_p]
    library.munge_ctx_destroy.restype = None
    library.munge_ctx_strerror.argtypes = [c_void_p]
    library.munge_ctx_strerror.restype = library.munge_strerror.restype = c_char_p
    return library
