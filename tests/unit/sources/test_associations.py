"""What sacctmgr says of accounts, as real 22.05, 24.11 and 26.05 print it."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.sources.associations import Asked, ask, parse
from tests.unit.builders import script

NAMES = "biology\nodd\nphysics\nroot\numl\n"
ORGANIZATIONS = "biology|uni\nodd|dept | of\nbio\nphysics|uni\nroot|root\numl|\n"
DESCRIPTIONS = (
    "biology|biology\nodd|physics | lab\nline two|x|y\nphysics|physics\nroot|default root account\numl|größe `q`\n"
)
TOLD = Asked(NAMES, ORGANIZATIONS, DESCRIPTIONS)


def test_every_text_is_whole_whatever_it_holds() -> None:
    assert [report[1:] for report in parse(TOLD, "t", 5)] == [
        ("biology", 5, "biology", "uni"),
        ("odd", 5, "physics | lab\nline two|x|y", "dept | of\nbio"),
        ("physics", 5, "physics", "uni"),
        ("root", 5, "default root account", "root"),
        ("uml", 5, "größe `q`", ""),
    ]


def test_a_line_that_begins_like_an_account_out_of_turn_continues_the_text() -> None:
    told = Asked("a\nb\n", "a|x\nb|y\n", "a|one\na|two\n\nthree\nb|four\n")
    assert [report.description for report in parse(told, "t", 0)] == ["one\na|two\n\nthree", "four"]


def test_nobody_there() -> None:
    assert parse(Asked("", "", ""), "t", 0) == []


@pytest.mark.parametrize("names", ["biology\nodd\nphysics\nroot\n" + "uml\nzoo\n", "zoo\n", "biology\nodd\nroot\nx\n"])
def test_replies_that_do_not_fit_together_are_refused_whole(names: str) -> None:
    with pytest.raises(SourceError, match="ask again"):
        parse(TOLD._replace(names=names), "t", 0)


def test_what_is_asked(tmp_path: Path) -> None:
    told = ask(script(tmp_path / "sacctmgr", 'echo "$@"'), 5)
    assert [reply.partition(" show ")[2] for reply in told] == [
        "account format=Account\n", "account format=Account,Organization\n", "account format=Account,Description\n"
    ]  # fmt: skip
    with pytest.raises(SourceError, match="denied"):
        ask(script(tmp_path / "hidden", "echo 'Access/permission denied' >&2; exit 1"), 5)
