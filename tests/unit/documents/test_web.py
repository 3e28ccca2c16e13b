"""Pages for a browser: kept as people get them, whole in themselves, and not to be broken by any name."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from slurm_gpucost import __version__
from slurm_gpucost.documents import web

FILE, SKU = "/etc/gpucost/gpucost.toml", "pools.main.skus.a100"
MADE = "2026-11-23 14:05:30+01:00"


def row(name: Callable[[str], str] = str, **changed: Any) -> dict[str, Any]:
    """A derivation with every text that users choose put through ``name``."""
    steps = [
        ("Devices", "devices", "4.00", "devices", [(FILE, f"{SKU}.devices")]),
        (
            "Depreciation of HPC-7", "(60000 - 8000) over 5 years from 2025-07-15, monthly", "6240.00", "EUR/year",
            [(FILE, "pools.main.assets.0.price"), (FILE, "pools.main.assets.0.residual"), ("/srv/costs.csv", "line 3")],
        ),
        ("Rebate", "-1200 per year", "-1200.50", "EUR/year", [("/srv/costs.csv", "line 4")]),
        ("Annual cost", "sum of the above", "1746624.00", "EUR/year", []),
        ("Posted price", "rounded half up to 4 decimals", "0.5697", "EUR/GPU-hour", []),
    ]  # fmt: skip
    return {
        "pool": name("main"), "sku": name("a100"), "month": "2026-10", "currency": "EUR", "unit_price": "0.5697",
        "rate_exact": "36388/63875", "notes": [name("a100 is written off since 2026-11-01")], "version": 3,
        "effective": "2026-10-01T00:00:00+05:30", "published": "2026-09-28T15:02:11+05:30", "login": name("ann"),
        "steps": [
            {
                "label": name(a), "formula": name(b), "value": c, "unit": d,
                "sources": [{"file": name(file), "key": name(key)} for file, key in e],
            }
            for a, b, c, d, e in steps
        ],
        **changed,
    }  # fmt: skip


NOT_PUBLISHED: dict[str, Any] = {"version": None, "effective": None, "published": None, "login": None, "notes": []}


class Seen(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if "style" not in self.open else ""


def test_the_page_of_rates(golden: Callable[[str, str], None]) -> None:
    page = web.rates([row(), row(sku="h100", **NOT_PUBLISHED)], "alpha", "2026-10", MADE)
    golden("rates.html", page.replace(f"slurm-gpucost {__version__}.", "slurm-gpucost VERSION."))


def test_every_number_is_there_with_its_file_and_key() -> None:
    one = row()
    text = " ".join(Seen(web.rates([one], "alpha", "2026-10", MADE)).text.split())
    for step in one["steps"]:
        assert f"{step['label']}" in text
        for source in step["sources"]:
            assert source["key"] in text and f"from {source['file']}:" in text
    for said in ("4.00 devices", "6,240.00 EUR/year", "-1,200.50 EUR/year", "1,746,624.00 EUR/year", "36388/63875"):
        assert said in text
    assert "Version 3, from 2026-10-01T00:00:00+05:30 on. Published 2026-09-28T15:02:11+05:30 by ann." in text
    assert "Not published" in Seen(web.rates([row(**NOT_PUBLISHED)], "a", "2026-10", MADE)).text


def test_nothing_comes_from_outside() -> None:
    page = web.rates([row()], "alpha", "2026-10", MADE)
    seen = Seen(page)
    assert seen.open == [], "every element is closed"
    assert {tag for tag, _ in seen.tags}.isdisjoint({"script", "link", "img", "iframe", "object", "base", "form"})
    links = [value or "" for _, attrs in seen.tags for name, value in attrs if name in ("src", "href", "action")]
    ids = {value for _, attrs in seen.tags for name, value in attrs if name == "id"}
    assert links and all(link[:1] == "#" and link[1:] in ids for link in links)
    assert not re.search(r"url\(|@import|https?:", page)


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '" onmouseover="x',
        "' style='x",
        "</style><b>",
        "&lt;i&gt;",
        "{{ 7 * 7 }}",
        "]]><!--",
    ],
)
def test_names_are_text_and_nothing_else(hostile: str) -> None:
    def name(text: str) -> str:
        return text + hostile

    plain = Seen(web.rates([row()], "alpha", "2026-10", MADE))
    seen = Seen(web.rates([row(name)], name("alpha"), name("2026-10"), MADE))
    assert seen.tags == plain.tags
    for text in ("alpha", "main", "a100", "ann", "Devices", "Rebate", "-1200 per year", FILE, f"{SKU}.devices"):
        assert text + hostile in seen.text


def test_characters_that_cannot_be_seen_are_named() -> None:
    page = web.rates([row(lambda text: text + "\u202e\x1b\u200b\n")], "alpha", "2026-10", MADE)
    assert "main\\u202e\\x1b\\u200b\\n" in page
    assert not {"\u202e", "\x1b", "\u200b"} & set(page)


def test_no_rates_make_an_empty_table() -> None:
    assert "<tbody>\n</tbody>" in web.rates([], "alpha", "2026-10", MADE)
