"""Parameters of a question: checked by their kinds, before anything is asked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.services.named.model import FLAG, INTEGER, TEXT, TEXTS, Param, Query

LONGEST_NAME = 40
MOST_TEXT = 1000
"""Characters."""
MOST_TEXTS = 10_000
_FORMS = {TEXT: "text", TEXTS: "a list of texts", FLAG: "true or false", INTEGER: "a whole number"}


def checked(query: Query, given: Mapping[str, Any]) -> dict[str, Any]:
    """All of the question's parameters; what is not given, or null, has its default.

    Raises UsageError that names the parameter.
    """
    known = {param.name: param for param in query.params}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1) if len(name) <= LONGEST_NAME else []
            there = f"there are {', '.join(known)}" if known else "it takes none"
            hint = f"did you mean {near[0]}?" if near else there
            raise UsageError(f"parameter {name[:LONGEST_NAME]}: {query.name} has no such parameter; {hint}")
    return {name: _value(query, param, given.get(name)) for name, param in known.items()}


def _value(query: Query, param: Param, value: Any) -> Any:
    if value is None:
        if param.required:
            raise UsageError(f"parameter {param.name}: {query.name} needs it: {param.text}")
        return param.default
    if not _fits(param.kind, value):
        raise UsageError(f"parameter {param.name}: must be {_FORMS[param.kind]}")
    if param.kind == TEXTS and len(value) > MOST_TEXTS:
        raise UsageError(f"parameter {param.name}: has more than {MOST_TEXTS} texts")
    for text in value if param.kind == TEXTS else [value] if param.kind == TEXT else []:
        if len(text) > MOST_TEXT:
            raise UsageError(f"parameter {param.name}: is longer than {MOST_TEXT} characters")
        if "\0" in text:
            raise UsageError(f"parameter {param.name}: has a byte 0 in it")
    return value


def _fits(kind: str, value: Any) -> bool:
    if kind == TEXT:
        return isinstance(value, str)
    if kind == TEXTS:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if kind == FLAG:
        return isinstance(value, bool)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62
