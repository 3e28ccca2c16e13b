"""Text that came from users, made safe for a terminal: a job's name must not move the cursor or retitle the window."""

from __future__ import annotations

import unicodedata

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def safe(text: str) -> str:
    """``text`` with every character that is not printable written as an escape, like ``\\x1b``.

    Control characters (C0, C1), bidirectional and zero-width marks, line separators and lone surrogates are not
    printable; letters of any script are. A backslash stays as it is, so this is for eyes, not for reading back.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def width(text: str) -> int:
    """Columns of a terminal that printable ``text`` takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_cells(c) for c in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, columns: int, *, right: bool = False) -> str:
    """``text`` cut or filled to ``columns``; what is cut ends in + (as sacct does it)."""
    if width(text) > columns:
        kept, room = [], columns - 1
        for character in text:
            room -= _cells(character)
            if room < 0:
                break
            kept.append(character)
        text = "".join(kept) + "+"
    fill = " " * (columns - width(text))
    return fill + text if right else text + fill
