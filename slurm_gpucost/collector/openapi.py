"""``/openapi.json``: the API's form, made from the very catalogue of questions that checks their parameters."""

from __future__ import annotations

from typing import Any

from slurm_gpucost import __version__
from slurm_gpucost.collector.answers import MOST_ROWS, ROWS
from slurm_gpucost.services.named import QUERIES, Param, Query
from slurm_gpucost.services.named.model import ALL, COSTS, FLAG, INTEGER, TEXT, TEXTS
from slurm_gpucost.services.named.params import MOST_TEXT, MOST_TEXTS

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string", "maxLength": MOST_TEXT}
_KINDS: dict[str, Schema] = {
    TEXT: _TEXT,
    TEXTS: {"type": "array", "items": _TEXT, "maxItems": MOST_TEXTS},
    FLAG: {"type": "boolean"},
    INTEGER: {"type": "integer"},
}
_RIGHTS = {
    ALL: "For those who see all users' spend: operators, administrators, finance.",
    COSTS: "For those who see cost items. Each look is written down.",
}
_ERRORS = {
    "400": "A parameter is wrong; the text names it.",
    "401": "Nobody knows who asks; the text says how to be told.",
    "403": "Who asks has not the right.",
    "404": "No question has this name.",
    "408": "The body was not here in time.",
    "410": "The cursor is unknown or too old.",
    "413": "The request, or the answer, is too large.",
    "429": "Too many at once; see Retry-After.",
    "500": "Something else; the text says what, or the collector's log.",
    "503": "Busy, or the ledger cannot be used now; see Retry-After.",
    "504": "The answer took too long; ask for less.",
}
_NODE_ERRORS = {
    "400": "The body was cut off, or a parameter is missing.",
    "401": "No good token of a node.",
    "403": "Not this node's; or another journal of it is alive (`waiting`).",
    "408": "The body was not here in time.",
    "413": "The batch is too large; send half.",
    "422": "This is no batch; the text says why.",
    "429": "Too many at once; see Retry-After.",
    "503": "Busy, or the ledger cannot be written now; see Retry-After.",
}


def document() -> Schema:
    """The OpenAPI 3.1 document."""
    paths: Schema = {f"/v1/queries/{query.name}": _query(query) for query in QUERIES.values()}
    paths["/v1/batches"] = {"post": _send(), "get": _held()}
    paths["/healthz"] = _plain("Whether the collector lives.", "text/plain", {"type": "string"})
    paths["/readyz"] = _plain("Whether it does its work.", "text/plain", {"type": "string"})
    paths["/metrics"] = _plain("Figures for Prometheus.", "text/plain", {"type": "string"}, "503")
    paths["/openapi.json"] = _plain("This document.", "application/json", {"type": "object"}, "")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "slurm-gpucost collector",
            "version": __version__,
            "description": "What GPUs cost under Slurm, and who spent it. People are told by the Unix socket, a MUNGE "
            "credential or a token, and see what is theirs to see.",
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Page": {
                    "type": "object",
                    "required": ["head", "rows", "next"],
                    "properties": {
                        "head": {"type": "object", "description": "What is said of all rows."},
                        "rows": {"type": "array", "items": {"type": "object"}},
                        "next": {
                            "type": ["string", "null"],
                            "description": "The cursor of the next page; null: there is none.",
                        },
                    },
                },
                "Held": {
                    "type": "object",
                    "required": ["held"],
                    "properties": {"held": {"type": "integer", "description": "All entries up to it are durable."}},
                },
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}, "waiting": {"type": "boolean"}},
                },
            },
            "securitySchemes": {
                "socket": {"type": "http", "scheme": "none", "description": "The Unix socket: the kernel says who."},
                "munge": {"type": "http", "scheme": "munge", "description": "A MUNGE credential of this request."},
                "user": {"type": "http", "scheme": "bearer", "description": "A user's token, over TLS."},
                "node": {"type": "http", "scheme": "bearer", "description": "A node's token."},
            },
        },
    }


def _query(query: Query) -> Schema:
    text = " ".join(filter(None, (query.text, _RIGHTS.get(query.rights))))
    usual = {
        "tags": ["questions"],
        "summary": text,
        "security": [{"socket": []}, {"munge": []}, {"user": []}],
        "responses": {"200": _content("A page.", _ref("Page")), **_errors(_ERRORS)},
    }
    return {
        "post": {**usual, "operationId": query.name, "requestBody": _body(query)},
        "get": {**usual, "operationId": f"get_{query.name}", "parameters": _parameters(query)},
    }


def _body(query: Query) -> Schema:
    limit = {"type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": ROWS, "description": "Rows a page."}
    params = {
        "type": "object",
        "additionalProperties": False,
        "properties": {one.name: _schema(one) for one in query.params},
        "required": [one.name for one in query.params if one.required],
    }
    first = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"params": params, "limit": limit},
    }
    more = {
        "type": "object",
        "additionalProperties": False,
        "required": ["cursor"],
        "properties": {"cursor": {"type": "string", "description": "As the page before had it in `next`."}},
    }
    return {"required": True, "content": {"application/json": {"schema": {"oneOf": [first, more]}}}}


def _parameters(query: Query) -> list[Schema]:
    found = [_in_query(one.name, one.text, _KINDS[one.kind]) for one in query.params]
    found.append(_in_query("limit", "Rows a page.", {"type": "integer", "minimum": 1, "maximum": MOST_ROWS}))
    found.append(_in_query("cursor", "Alone: as the page before had it in `next`.", {"type": "string"}))
    return found


def _in_query(name: str, text: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _schema(param: Param) -> Schema:
    default = {} if param.default is None else {"default": param.default}
    return {**_KINDS[param.kind], "description": param.text, **default}


def _send() -> Schema:
    return {
        "tags": ["nodes"],
        "operationId": "send",
        "summary": "A batch of a node's journal; answered when it is durable.",
        "security": [{"node": []}],
        "requestBody": {
            "required": True,
            "description": "Gzipped (Content-Encoding: gzip).",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        "responses": {
            "200": _content("It is in.", _ref("Held")),
            "409": _content("Entries before it are not here; send again from `held` + 1.", _ref("Held")),
            **_errors(_NODE_ERRORS),
        },
    }


def _held() -> Schema:
    journal = _in_query("journal", "Its id.", {"type": "string"})
    return {
        "tags": ["nodes"],
        "operationId": "held",
        "summary": "Up to which entry a node's journal is held.",
        "security": [{"node": []}],
        "parameters": [{**journal, "required": True}],
        "responses": {
            "200": _content("0 where it is unknown.", _ref("Held")),
            **_errors({status: _NODE_ERRORS[status] for status in ("400", "401", "429", "503")}),
        },
    }


def _plain(text: str, kind: str, schema: Schema, bad: str = "503") -> Schema:
    answers: Schema = {"200": {"description": "So it is.", "content": {kind: {"schema": schema}}}}
    if bad:
        answers[bad] = {"description": "It is not so; the text says why."}
    return {"get": {"tags": ["service"], "summary": text, "security": [], "responses": answers}}


def _content(text: str, schema: Schema) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _errors(texts: dict[str, str]) -> Schema:
    return {status: _content(text, _ref("Error")) for status, text in texts.items()}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
