"""Batches and event files as somebody sends them who means ill, or whose memory fails."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterator
from typing import Any

from tests.unit.builders import T0

NASTY: list[Any] = [
    0, -1, 1 << 31, (1 << 62) - 1, 1 << 62, 1 << 64, 10**30, True, None, "", "x" * 70_000, "\x00", "\ud800", "é\u202e",
    [], [[]], {}, {"a": {}}, "0-4096,1-4096", "ff", "zz", 1.5, T0, T0 * 1000,
]  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything in a JSON value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


def spoil(body: bytes, chance: random.Random) -> bytes:
    """A batch with something wrong in it, or nearly so."""
    kind = chance.choice(["bytes", "cut", "text", "json", "json", "value", "value", "value"])
    if kind == "cut":
        return body[: chance.randrange(len(body))]
    if kind == "bytes":
        return _with_other_bytes(body, chance)
    text = bytearray(zlib.decompress(body, wbits=31))
    if kind == "text":
        for _ in range(chance.randint(1, 3)):
            text[chance.randrange(len(text))] = chance.choice(b'0"[]{},:9a\\\xff')
        return pack(bytes(text))
    said = json.loads(text)
    for _ in range(chance.randint(1, 3)):
        if kind == "json":
            container, key = chance.choice(list(places(said)))
            container[key] = chance.choice(NASTY)
        else:  # of the right type, so that it comes through to the checks behind
            container = chance.choice(chance.choice(list(said["rows"].values()))["rows"])
            key = chance.randrange(len(container))
            container[key] = chance.choice([one for one in NASTY if type(one) is type(container[key])])
    return pack(json.dumps(said).encode())


def spoil_event(content: bytes, chance: random.Random) -> bytes:
    """An event file with something wrong in it, or nearly so."""
    kind = chance.choice(["noise", "empty", "cut", "bytes", "bytes", "version", "fields", "value", "long"])
    words = content.split(b"\0")
    if kind == "noise":
        return chance.randbytes(chance.randint(1, 2_000))
    if kind == "empty":
        return b""
    if kind == "cut":
        return content[: chance.randrange(len(content))]
    if kind == "bytes":
        return _with_other_bytes(content, chance)
    if kind == "version":
        words[0] = chance.choice([b"", b"0", b"2", b"1 ", b"999999999999999999999"])
    elif kind == "fields":
        words[1:1] = [b"F%d=x" % n for n in range(chance.randint(1, 5_000))]
    elif kind == "long":
        words[1:1] = [b"SLURM_JOB_USER=" + b"u" * chance.randint(1, 200_000)]
    else:
        number = chance.randrange(1, len(words) - 2)
        name = words[number].partition(b"=")[0]
        value = chance.choice([b"", b"-1", b"9" * 30, b"0-9999999", b"\xff\xfe", b"a\nb", b"=", "\u202e".encode()])
        words[number] = name + b"=" + value
    return b"\0".join(words)


def _with_other_bytes(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def pack(text: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(text) + packer.flush()
