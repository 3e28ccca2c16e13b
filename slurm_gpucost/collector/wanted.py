"""What a request for a question asks for: parameters, or a page of an answer that there is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from starlette.requests import Request

from slurm_gpucost.collector.answers import MOST_ROWS, ROWS
from slurm_gpucost.collector.replies import Refusal
from slurm_gpucost.services.named import Query
from slurm_gpucost.services.named.model import FLAG, INTEGER, TEXTS


class Wanted(NamedTuple):
    """What a request asks for: a question, or the next page of an answer."""

    params: Mapping[str, Any]
    rows: int
    cursor: str


def posted(body: bytes) -> Wanted:
    """What a body asks for. Raises Refusal."""
    try:
        said = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Refusal(400, 'the body is no JSON like {"params": {"start": "2026-01-01"}, "limit": 1000}') from None
    if not isinstance(said, dict) or set(said) - {"params", "limit", "cursor"}:
        raise Refusal(400, "the body must be an object of params and limit, or of cursor")
    return _wanted(said.get("params") or {}, said.get("limit"), said.get("cursor"))


def in_the_url(request: Request, query: Query) -> Wanted:
    """The same in a URL: lists by repetition, flags as true and false. Raises Refusal."""
    kinds = {param.name: param.kind for param in query.params}
    params: dict[str, Any] = {}
    limit: Any = None
    cursor = None
    for name, text in request.query_params.multi_items():
        kind = kinds.get(name)
        if name == "cursor" and kind is None:
            cursor = text
        elif name == "limit" and kind is None:
            limit = _number(name, text)
        elif kind == TEXTS:
            params.setdefault(name, []).append(text)
        elif name in params:
            raise Refusal(400, f"parameter {name}: is given twice")
        elif kind == FLAG:
            if text not in ("true", "false"):
                raise Refusal(400, f"parameter {name}: must be true or false")
            params[name] = text == "true"
        else:
            params[name] = _number(name, text) if kind == INTEGER else text
    return _wanted(params, limit, cursor)


def _number(name: str, text: str) -> int:
    if not (text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() and len(text) < 19):
        raise Refusal(400, f"parameter {name[:40]}: must be a whole number")
    return int(text)


def _wanted(params: Any, limit: Any, cursor: Any) -> Wanted:
    if not isinstance(params, dict):
        raise Refusal(400, "params: must be an object")
    if cursor is not None and (not isinstance(cursor, str) or not cursor or params or limit is not None):
        raise Refusal(400, "cursor: stands alone, as the page before had it in next")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= MOST_ROWS):
        raise Refusal(400, f"limit: must be a whole number from 1 to {MOST_ROWS}")
    return Wanted(params, limit or ROWS, cursor or "")
