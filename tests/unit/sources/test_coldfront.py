"""A portal's export: JSON as ColdFront's api plugin serializes it, and CSV; faults by line and name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slurm_gpucost.costing.accounts import FIELDS
from slurm_gpucost.sources.coldfront import read
from slurm_gpucost.sources.portal import ACCOUNT, Found, Said, facts_of

NAMES = {field: field for field in FIELDS} | {ACCOUNT: "slurm_account_name", "description": "project"}
CLASSES = ("internal", "partner", "external")


def allocation(id: int, account: str | None, status: str = "Active", project: str = "A", **more: str) -> dict[str, Any]:
    """As AllocationSerializer of ColdFront 1.1.7 writes it."""
    said = {**({"slurm_account_name": account} if account else {}), **more}
    attributes = [{"allocation_attribute_type": name, "value": value} for name, value in said.items()]
    return {
        "id": id, "project": project, "resource": "University HPC", "status": status, "allocation_users": None,
        "allocation_attributes": attributes,
    }  # fmt: skip


def found(text: str) -> tuple[Found, list[tuple[str, str]]]:
    allocations, unread = read(text)
    facts, faults = facts_of(allocations, NAMES, CLASSES)
    return facts, unread + (faults if not unread else [])


def faults(text: str) -> list[str]:
    return [f"{where}: {what}" for where, what in found(text)[1]]


EXPORT = [
    allocation(1, "CGray", project="Angular momentum", **{"class": "partner", "tax_exempt": "Yes"}),
    allocation(2, "cgray", project="QGP, and more"),
    allocation(3, None, project="Storage"),
    allocation(4, "gone", status="Expired"),
    allocation(5, "sfoster", status="Renewal Requested", federal="No", tax_id="DE 123"),
]
CSV = (
    "id,project,status,slurm_account_name,class,tax_exempt,federal,tax_id,unused\r\n"
    "1,Angular momentum,Active,CGray,partner,Yes,,,x\r\n"
    '2,"QGP, and more",Active,cgray,,,,,\r\n'
    "3,Storage,Active,,,,,,\r\n\r\n"
    "4,A,Expired,gone,,,,,\r\n"
    "5,A,Renewal Requested,sfoster,,,No,DE 123,\r\n"
)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (json.dumps(EXPORT), (1, 1)),
        (json.dumps({"count": 5, "next": None, "previous": None, "results": EXPORT}), (1, 1)),
        ("[\n" + ",\n".join(map(json.dumps, EXPORT)) + "\n]\n", (2, 6)),
        ('{"count": 5,\n"next": null, "results": [\n' + ",\n".join(map(json.dumps, EXPORT)) + "]}", (3, 7)),
        (CSV, (2, 7)),
        ("\ufeff" + CSV.replace("\r\n", "\n"), (2, 7)),
    ],
    ids=["json", "page", "lines", "page in lines", "csv", "csv of a spreadsheet"],
)
def test_all_forms_say_the_same(text: str, lines: tuple[int, int]) -> None:
    facts, wrong = found(text)
    assert wrong == []
    first, last = lines
    assert facts == Found(
        {
            "cgray": {
                "class": Said("partner", first),
                "tax_exempt": Said("true", first),
                "description": Said("Angular momentum; QGP, and more", first),
            },
            "sfoster": {
                "tax_id": Said("DE 123", last),
                "federal": Said("false", last),
                "description": Said("A", last),
            },
        },
        not_live=1,
        without_account=1,
    )


def test_an_allocation_can_name_several_accounts() -> None:
    one = allocation(7, "a", **{"class": "external"})
    one["allocation_attributes"].append({"allocation_attribute_type": "slurm_account_name", "value": "b"})
    assert {name: said["class"].value for name, said in found(json.dumps([one]))[0].accounts.items()} == {
        "a": "external", "b": "external"
    }  # fmt: skip


def test_all_faults_in_one_go_by_line_and_name() -> None:
    text = json.dumps(
        [
            allocation(1, "a", **{"class": "partnr", "tax_exempt": "perhaps"}),
            allocation(2, "b", tax_id="1"),
            allocation(3, "b", tax_id="2"),
        ],
        indent=1,
    )
    begins = [n for n, line in enumerate(text.splitlines(), 1) if line == " {"]
    assert faults(text) == [
        "line 2 (allocation 1): class: there is no class 'partnr'; did you mean partner?",
        "line 2 (allocation 1): tax_exempt: 'perhaps' is neither Yes nor No",
        f"line {begins[2]} (allocation 3): tax_id: says '2' of account b, line {begins[1]} said '1'",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: there is no allocation in it"),
        ("[]", "line 1: there is no allocation in it"),
        ('[{"id": 1},\n', "line 2, column 1: is not JSON"),
        ('{"detail": "Authentication credentials were not provided."}', "line 1: must be a list of allocations"),
        (json.dumps({"next": "https://x/?page=2", "results": EXPORT}), "next: there are further pages"),
        (json.dumps([{**EXPORT[0], "allocation_attributes": None}]), "ask with ?allocation_attributes=true"),
        (json.dumps([{**EXPORT[0], "allocation_attributes": [{"value": "x"}]}]), "must hold allocation_attribute_type"),
        ("[7]", "line 1: is no allocation"),
        (json.dumps([allocation(1, None)]), "slurm_account_name: names no account in any allocation"),
        ("Grant Title,Project PI\nx,y\n", "slurm_account_name: names no account in any allocation"),
        ("slurm_account_name,class\na\n", "line 2: has 1 columns, the first line 2"),
        ("slurm_account_name,class,class\na,b,c\n", "line 1: names a column twice: class"),
        ('slurm_account_name\n"a\n', "cannot be read from here on"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_not_an_export_is_refused_with_the_reason(text: str, fault: str) -> None:
    assert any(fault in one for one in faults(text)), faults(text)


def test_a_page_whose_text_holds_brackets_keeps_its_lines() -> None:
    text = '{"note": "[ \\"results\\" [", "results":\n[\n' + json.dumps(allocation(1, "a", project="[x], {y}")) + "]}"
    allocations, unread = read(text)
    assert unread == []
    assert [(one.line, one.id) for one in allocations] == [(3, "1")]


def test_nothing_is_lost_where_lines_cannot_be_told() -> None:
    text = json.dumps({"about": {"results": [1]}, "results": EXPORT})
    allocations, unread = read(text)
    assert unread == []
    assert [one.id for one in allocations] == ["1", "2", "3", "4", "5"]
