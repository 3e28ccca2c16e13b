# ruff: noqa: E501  # a fault reads best in one line
"""[billing], [[rules]] and [[outages]]: what can be said, and every fault by file and key, in one go."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from slurm_gpucost.costing.policy import DEFAULT_RULES, default_rules
from slurm_gpucost.costing.quantity import Rounding
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.domain.units import OPEN_END_MS
from slurm_gpucost.settings import Settings, load, template
from slurm_gpucost.settings.inputs import billing_inputs
from slurm_gpucost.settings.model import Payer


def site(tmp_path: Path, more: str) -> Settings:
    text = template(
        timezone="Europe/Berlin", currency="EUR", cluster="c", gpus=[("a100", 8, Decimal(12000))],
        purchase_date=date(2026, 1, 1),
    )  # fmt: skip
    head, _, tail = text.partition("[billing]\n")
    body = tail[tail.index("\n[pools") :]
    (tmp_path / "gpucost.toml").write_text(f"{head}{body}\n{more}")
    return load(tmp_path / "gpucost.toml")


def faults(tmp_path: Path, more: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        site(tmp_path, more)
    return [line.removeprefix(f"{tmp_path / 'gpucost.toml'}: ") for line in str(raised.value).splitlines()]


def test_nothing_said_is_the_default_table_and_no_rounding(tmp_path: Path) -> None:
    found = site(tmp_path, "").billing
    assert (found.rules, found.rounding, found.outages) == (DEFAULT_RULES, Rounding(), ())
    assert site(tmp_path, "[billing]\npreempted_free_seconds = 600\n").billing.rules == default_rules(600)


def test_a_table_of_rules(tmp_path: Path) -> None:
    found = site(
        tmp_path,
        """
[billing]
rounding = "attempt"
rounding_step_seconds = 60
minimum_seconds = 120
[[rules]]
name = "retries"
factor = "0.5"
attempt = ["2", "3+"]
state = "FAILED"
shorter_than_seconds = 300
[[rules]]
name = "all else"
factor = 1
[[outages]]
nodes = "gpu[01-03]"
from = 2026-10-01T08:00:00
until = 2026-10-01T10:00:00+00:00
reason = "cooling"
[[outages]]
nodes = "gpu07"
from = 2026-10-02T00:00:00
""",
    ).billing
    first, last = found.rules
    assert (first.name, first.factor, dict(first.match), first.shorter_than_seconds) == (
        "retries", Fraction(1, 2), {"state": ("FAILED",), "attempt": ("2", "3+")}, 300,
    )  # fmt: skip
    assert (last.name, last.factor) == ("all else", Fraction(1))
    assert not last.match
    assert found.rounding == Rounding("attempt", 60_000, 120_000)
    one, two = found.outages
    assert one.nodes == ("gpu01", "gpu02", "gpu03")
    assert one.until_ms - one.from_ms == 4 * 3_600_000, "08:00 in Berlin is 06:00 UTC"
    assert two.until_ms == OPEN_END_MS
    told = billing_inputs(found)
    assert told["rules.1"] == "retries: state FAILED, attempt 2 3+, shorter_than_seconds 300, factor 0.5"
    assert told["outages.1"] == "2026-10-01T06:00:00+00:00 to 2026-10-01T10:00:00+00:00: gpu01 gpu02 gpu03; cooling"


def test_everything_that_is_wrong_is_named_in_one_go(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        """
[billing]
minimum_seconds = 60
[[rules]]
name = "all"
factor = 1
[[rules]]
name = "dead"
factor = 0
state = "FAILED"
[[rules]]
name = "typo"
factor = 0
state = "FAILLED"
[[outages]]
nodes = "gpu[1-"
from = 2026-10-01T08:00:00
[[outages]]
nodes = "gpu1"
from = 2026-10-01T08:00:00
until = 2026-09-01T08:00:00
""",
    )
    assert len(found) == 5
    assert "rules.2.state: there is no state 'FAILLED'; do you mean FAILED?" in found
    assert "rules.1: rule 'dead' can never match: all it could is taken before, by 'all'" in found
    assert "billing.rounding: say what is rounded: attempt or line" in found
    assert any(one.startswith("outages.0.nodes: 'gpu[1-' is no hostlist") for one in found)
    assert "outages.1.until: is not after from" in found


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ('[[rules]]\nname = "x"\nfactor = 2\n', "rules.0.factor: must be at most 1"),
        ('[[rules]]\nname = "x"\n', "rules.0.factor: is missing: The part of the time that is billed, 0 to 1."),
        ('[[rules]]\nname = "x"\nfactor = 1\nqoss = "a"\n', "rules.0.qoss: is no setting; did you mean qos?"),
        ('[[rules]]\nname = "x"\nfactor = 1\nqos = "a"\n', "rules: no rule matches no qos: let the last rule have no columns"),
        ('[billing]\nrounding = "line"\n', "billing.rounding: changes nothing: give rounding_step_seconds or minimum_seconds, too"),
        ('[billing]\nrounding = "job"\n', "billing.rounding: 'job' is neither attempt nor line; leave it out for no rounding"),
        (
            '[billing]\npreempted_free_seconds = 5\n[[rules]]\nname = "x"\nfactor = 1\n',
            "billing.preempted_free_seconds: stands beside [[rules]], which decide alone: write it as a rule",
        ),
        ("[rules]\n", "rules: must be tables, each written [[rules]]"),
    ],
)  # fmt: skip
def test_single_faults(tmp_path: Path, more: str, wanted: str) -> None:
    assert wanted in faults(tmp_path, more)


def test_who_pays_for_reservations(tmp_path: Path) -> None:
    assert not site(tmp_path, "").billing.bill_reservations
    found = site(
        tmp_path,
        """
[billing]
bill_reservations = true
[[reservations]]
name = "course-*"
account = "teaching"
whole_nodes = true
[[reservations]]
name = "course-*-few"
account = "teaching"
whole_nodes = false
[[reservations]]
name = "*"
account = "lab"
[[rules]]
name = "kept"
factor = "0.5"
state = "RESERVED"
[[rules]]
name = "all else"
factor = 1
""",
    ).billing
    assert found.bill_reservations
    assert found.payers == (
        Payer("course-*", "teaching", True), Payer("course-*-few", "teaching", False), Payer("*", "lab", None),
    )  # fmt: skip
    inputs = billing_inputs(found)
    assert inputs["reservations.3"] == "*: account lab"
    assert inputs["rules.1"] == "kept: state RESERVED, factor 0.5"


def test_what_is_wrong_with_reservations_is_named_in_one_go(tmp_path: Path) -> None:
    assert faults(
        tmp_path,
        """
[billing]
bill_reservations = "yes"
[[reservations]]
name = "a"
[[reservations]]
name = "b"
account = "x"
whole_node = true
[[reservations]]
name = "b"
account = ""
[[reservations]]
name = "b"
account = "y"
[[rules]]
name = "kept"
factor = 1
state = "RESERVD"
[[rules]]
name = "all"
factor = 1
""",
    ) == [
        "billing.bill_reservations: must be true or false",
        "rules.0.state: there is no state 'RESERVD'; do you mean RESERVED?",
        "reservations.0.account: is missing: The account that pays, whatever accounts and users Slurm names.",
        "reservations.1.whole_node: is no setting; did you mean whole_nodes?",
        "reservations.2.account: must be text in quotes",
        "reservations.3.name: 'b' stands already in reservations.1",
    ]
