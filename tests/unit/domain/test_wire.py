"""The form of batches: what is sent comes out as it was, between versions too, and what is no batch is refused."""

from __future__ import annotations

import json
import sys
import tracemalloc
import zlib
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.domain import wire
from slurm_gpucost.domain.wire import TABLES, BadBatch, Batch, decode, encode

ID = "0123456789abcdef" * 2
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBER = st.integers(-(1 << 62) + 1, (1 << 62) - 1)
OF_KIND: dict[Any, st.SearchStrategy[Any]] = {int: NUMBER, str: TEXT, bytes: st.binary(max_size=20)}


def values(hint: Any) -> st.SearchStrategy[Any]:
    kind = next(kind for kind in OF_KIND if hint in (kind, kind | None))
    return OF_KIND[kind] if hint == kind else st.none() | OF_KIND[kind]


def records(table: str) -> st.SearchStrategy[Any]:
    record = TABLES[table]
    hints = get_type_hints(record)
    return st.builds(record, **{name: values(hints[name]) for name in record._fields})


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    first = draw(st.integers(1, 1 << 50))
    names = draw(st.lists(st.sampled_from(sorted(TABLES)), unique=True, max_size=3))
    return Batch(
        cluster=draw(TEXT.filter(bool)),
        node=draw(TEXT.filter(bool)),
        journal=ID,
        first=first,
        last=first + draw(st.integers(-1, 5000)),
        oldest=draw(st.integers(1, first)),
        sent_at_ms=draw(NUMBER),
        version=draw(TEXT),
        said=draw(st.dictionaries(TEXT, TEXT | NUMBER | st.booleans() | st.none(), max_size=3)),
        rows={name: draw(st.lists(records(name), min_size=1, max_size=3)) for name in names},
    )


@given(batches())
def test_a_batch_comes_out_as_it_was_sent(batch: Batch) -> None:
    assert decode(encode(batch)) == batch


@pytest.mark.parametrize("table", sorted(TABLES))
@given(data=st.data())
def test_a_row_of_every_table_comes_out_as_it_was_sent(table: str, data: st.DataObject) -> None:
    row = data.draw(records(table))
    batch = Batch("c", "n1", ID, 1, 1, 1, 0, "", {}, {table: [row]})
    assert decode(encode(batch)).rows == {table: [row]}


def plain(**other: Any) -> dict[str, Any]:
    """A batch of one slot report, as JSON."""
    table = {
        "columns": ["cluster", "node", "gres_name", "gres_index", "gres_type", "device", "observed_at_ms"],
        "rows": [["c", "n1", "gpu", 0, "a100", "GPU-1", 5]],
    }
    return {
        "format": 1, "cluster": "c", "node": "n1", "journal": ID, "first": 1, "last": 1, "oldest": 1, "sent_at_ms": 5,
        "version": "1", "said": {}, "rows": {"slot_report": table}, **other,
    }  # fmt: skip


def packed(text: Any) -> bytes:
    packer = zlib.compressobj(wbits=31)
    raw = text if isinstance(text, bytes) else json.dumps(text).encode()
    return packer.compress(raw) + packer.flush()


def with_row(*row: Any, columns: list[Any] | None = None) -> dict[str, Any]:
    table = plain()["rows"]["slot_report"]
    return plain(rows={"slot_report": {"columns": columns or table["columns"], "rows": [list(row)]}})


def test_the_plain_one_is_understood() -> None:
    assert decode(packed(plain())).rows["slot_report"][0].device == "GPU-1"


def test_columns_that_an_older_node_does_not_know_get_their_defaults() -> None:
    window = TABLES["usage_window"]
    columns = [name for name in window._fields if name not in window._field_defaults]
    table = {"columns": columns, "rows": [["GPU-1", *range(1, len(columns))]]}
    (row,) = decode(packed(plain(rows={"usage_window": table}))).rows["usage_window"]
    assert (row.device, row.start_ms, row.energy_epoch, row.energy_counter_start_mj) == ("GPU-1", 1, "", None)


def test_columns_stand_in_any_order() -> None:
    columns = plain()["rows"]["slot_report"]["columns"][::-1]
    assert decode(packed(with_row(5, "GPU-1", "a100", 0, "gpu", "n1", "c", columns=columns))) == decode(packed(plain()))


def test_more_keys_beside_the_known_ones_are_no_fault() -> None:
    assert decode(packed(plain(later={"a": 1}))).first == 1


GOOD = ("c", "n1", "gpu", 0, "a100", "GPU-1", 5)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (plain(format=2), "update the collector before the nodes"),
        (plain(rows={"later": {"columns": [], "rows": []}}), "table 'later' is not known here; update the collector"),
        (with_row(*GOOD, 1, columns=[*plain()["rows"]["slot_report"]["columns"], "x"]), "column 'x' is not known here"),
        (with_row(*GOOD[1:], columns=plain()["rows"]["slot_report"]["columns"][1:]), "column cluster is missing"),
        (with_row(*GOOD, 5, columns=[*plain()["rows"]["slot_report"]["columns"], "node"]), "a column stands twice"),
        (with_row(*GOOD, 5, columns=[*plain()["rows"]["slot_report"]["columns"], []]), "column list is not known"),
        (with_row(*GOOD[:-1]), "row 0 has not 7 values"),
        (with_row(*GOOD[:-1], "5"), "'5' is no number"),
        (with_row(*GOOD[:-1], True), "True is no number"),
        (with_row(*GOOD[:-1], None), "NoneType is no number"),
        (with_row(*GOOD[:-1], 1 << 62), "is no number"),
        (with_row(*GOOD[:-1], -(10**4000)), "is no number"),
        (with_row(1, *GOOD[1:]), "1 is no text"),
        (with_row([[]], *GOOD[1:]), "list is no text"),
        (with_row("\ud800", *GOOD[1:]), "surrogates not allowed"),
        (plain(rows=[]), "object of tables"),
        (plain(rows={"slot_report": []}), "columns and rows"),
        (plain(journal="X" * 32), "journal"),
        (plain(journal=ID[1:]), "journal"),
        (plain(cluster=""), "cluster"),
        (plain(node="n" * 256), "node: is longer"),
        (plain(first=0), "no range"),
        (plain(first=5, last=3), "no range"),
        (plain(oldest=2), "no range"),
        (plain(oldest=0), "no range"),
        (plain(sent_at_ms=None), "sent_at_ms"),
        (plain(said={"load": 1.5}), "floating point"),
        (b'{"format": NaN}', "floating point"),
        (b"[1]", "format 1"),
        (b"{", "no gzipped JSON"),
        (b"\xff", "no gzipped JSON"),
        (b'{"format": ' + b"9" * 5000 + b"}", "no gzipped JSON"),
        (b"[" * 100_000, "no gzipped JSON: RecursionError"),
        (b'{"format":1,"cluster":' + b"[" * 700 + b"]" * 700 + b"}", "cluster: list is no text"),
        (b"[" * 300_000, "lists and objects"),
        (b"[" + b"0," * 3_000_000 + b"0]", "values"),
    ],
)
def test_what_is_no_batch_is_refused_with_the_reason(said: Any, why: str) -> None:
    with pytest.raises(BadBatch) as caught:
        decode(packed(said))
    assert why in str(caught.value)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_a_body_that_is_cut_or_followed_by_more_is_refused() -> None:
    body = packed(plain())
    for bad in (b"", body[:-1], body[: len(body) // 2], body + b"x", body + body, b"x" + body, json.dumps({}).encode()):
        with pytest.raises(BadBatch):
            decode(bad)


def test_depth_near_the_limit_of_the_parser_is_a_refusal_as_any() -> None:
    for depth in range(sys.getrecursionlimit() - 300, sys.getrecursionlimit() + 20, 3):
        nested = b"[" * depth + b"]" * depth
        for body in (
            b'{"format":1,"cluster":' + nested + b"}",
            json.dumps(plain()).encode()[:-1] + b',"node":' + nested + b"}",
        ):
            with pytest.raises(BadBatch):
                decode(packed(body))


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(b" " * (1 << 20)) for _ in range(size >> 20)) + packer.flush()


@pytest.mark.parametrize("body", [bomb(1 << 27), packed(b"[" + b"[]," * 8_000_000)], ids=["zeros", "lists"])
def test_a_small_body_that_unpacks_to_much_does_not_fill_the_memory(body: bytes) -> None:
    assert len(body) < 2_000_000
    tracemalloc.start()
    try:
        with pytest.raises(BadBatch):
            decode(body)
        assert tracemalloc.get_traced_memory()[1] < 3 * wire.MOST_BYTES
    finally:
        tracemalloc.stop()
