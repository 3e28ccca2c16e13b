"""What sacctmgr says of accounts, as real 22.05, 24.11 and 26.05 print it."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.sources.associations import Account, ask, texts_of
from tests.unit.builders import script

NAMES = ["biology", "odd", "physics", "root", "uml"]
DESCRIPTIONS = (
    "biology|biology\nodd|physics | lab\nline two|x|y\nphysics|physics\nroot|default root account\numl|größe `q`\n"
)
ORGANIZATIONS = "biology|uni\nodd|dept | of\nbio\n\nphysics|uni\nroot|root\numl|\n"
STRAY = "biology|biology\nodd|lab\nphysics|not really\nphysics|physics\nroot|default root account\numl|x\n"


def slurm(tmp_path: Path, **replies: str) -> str:
    """A sacctmgr that answers each format; what it was asked stands in the file ``asked``."""
    for name, text in replies.items():
        (tmp_path / name).write_text(text)
    return str(
        script(
            tmp_path / "sacctmgr",
            f'cd {tmp_path}; echo "$*" >> asked\n'
            'for word; do case "$word" in name=*) one=_${word#name=};; format=*) of=${word#format=};; esac; done\n'
            'cat "$(echo "$of$one" | tr , _)"',
        )
    )


def test_every_text_is_whole_whatever_it_holds() -> None:
    assert texts_of(DESCRIPTIONS, NAMES) == [
        "biology", "physics | lab\nline two|x|y", "physics", "default root account", "größe `q`"
    ]  # fmt: skip
    assert texts_of(ORGANIZATIONS, NAMES) == ["uni", "dept | of\nbio", "uni", "root", ""]
    assert texts_of("", []) == []


@pytest.mark.parametrize("reply", [STRAY, STRAY.replace("physics|not", "biology|not"), DESCRIPTIONS + "odd|\n"])
def test_a_line_that_begins_like_a_record_can_be_read_in_two_ways(reply: str) -> None:
    assert texts_of(reply, NAMES) is None


@pytest.mark.parametrize("names", [[*NAMES, "zoo"], ["zoo"], ["odd", "biology", "physics", "root", "uml"]])
def test_a_reply_of_other_accounts_is_refused(names: list[str]) -> None:
    with pytest.raises(SourceError, match="ask again"):
        texts_of(DESCRIPTIONS, names)


def test_three_questions_do(tmp_path: Path) -> None:
    named = "".join(f"{name}\n" for name in NAMES)
    sacctmgr = slurm(tmp_path, Account=named, Account_Description=DESCRIPTIONS, Account_Organization=ORGANIZATIONS)
    found = ask(sacctmgr, 5)
    assert found[1] == Account("odd", "physics | lab\nline two|x|y", "dept | of\nbio")
    assert [one.name for one in found] == NAMES
    assert (tmp_path / "asked").read_text().count("\n") == 3


def test_each_account_is_asked_for_by_itself_where_a_text_looks_like_a_record(tmp_path: Path) -> None:
    alone = {"biology": "biology", "odd": "lab\nphysics|not really", "physics": "physics", "root": "r", "uml": ""}
    sacctmgr = slurm(
        tmp_path, Account="".join(f"{name}\n" for name in NAMES), Account_Description=STRAY,
        Account_Organization=ORGANIZATIONS, **{f"Description_{name}": f"{text}\n" for name, text in alone.items()},
    )  # fmt: skip
    assert {one.name: one.description for one in ask(sacctmgr, 5)} == alone


def test_what_slurm_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="denied"):
        ask(str(script(tmp_path / "hidden", "echo 'Access/permission denied' >&2; exit 1")), 5)
