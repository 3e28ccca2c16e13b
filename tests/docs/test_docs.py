"""What the pages promise exists: links, commands with their options, configs, and a place in the index."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from slurm_gpucost.settings import load, template
from slurm_gpucost.settings.template import parse_gpu_option, reference

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^```sh\n(gpucost [^\n]*)\n.*?^```\n\n```\n(.*?)^```", re.MULTILINE | re.DOTALL)
SAVED = """\
JobIDRaw|Submit|Start|End|ElapsedRaw|State|User|Account|Partition|AllocTRES
101|1790845200|1790845205|1790852405|7200|COMPLETED|ann|physics|main|gres/gpu:a100=2,gres/gpu=2
102|1790845300|1790845310|1790850710|5400|FAILED|ben|physics|main|gres/gpu:a100=1,gres/gpu=1
103|1790848800|1790848801|1790877601|28800|CANCELLED by 1003|cleo|biology|main|gres/shard=3
"""
SHELL = ("sh", "bash", "shell", "console")


class Block(NamedTuple):
    where: str
    language: str
    text: str


def blocks(*languages: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            if match[1] in languages:
                found.append(Block(f"{page.relative_to(ROOT)}:{line}", match[1], match[2]))
    return found


def command_lines(name: str) -> list[tuple[str, list[str]]]:
    """(where, arguments) of every line of the shell blocks that runs ``name``, pipes and redirections cut off."""
    found = []
    for block in blocks(*SHELL):
        for line in block.text.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line.removeprefix("$ ").removeprefix("# "), posix=True, punctuation_chars=";|&<>")
            lexer.whitespace_split = True
            words = list(lexer)
            while words and re.fullmatch(r"\w+=.*", words[0]):
                words.pop(0)
            if words and words[0].rpartition("/")[2] == name:
                cut = next((i for i, word in enumerate(words) if set(word) <= set(";|&<>")), len(words))
                found.append((block.where, words[1:cut]))
    return found


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_relative_link_leads_somewhere() -> None:
    broken, followed = [], 0
    for page in PAGES:
        for target in LINK.findall(BLOCK.sub("", page.read_text(encoding="utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue
            followed += 1
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            if not file.exists() or (anchor and anchor not in anchors(file)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []
    assert followed > 15


def test_the_index_has_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    named = set(LINK.findall(index))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} == named


def parsed(words: list[str]) -> None:
    """Parse as the command would, without running it: raises click's own error for what it does not know."""
    from typer.main import get_command

    from slurm_gpucost.cli.app import app

    command: Any = get_command(app)
    context = command.make_context("gpucost", list(words))
    while hasattr(command, "commands"):
        # Between parsing and running, click keeps the subcommand's words in one of these.
        rest = [*getattr(context, "_protected_args", getattr(context, "protected_args", [])), *context.args]
        assert rest, "no subcommand"
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


def test_the_parser_of_this_test_tells_right_from_wrong() -> None:
    parsed(["invoice", "--month", "2026-10", "-u", "ann"])
    parsed(["config", "check", "--json"])
    for wrong in (
        ["invoice"],
        ["invoice", "--mnth", "2026-10"],
        ["invoce"],
        ["config", "chek"],
        ["jobs", "--nothing"],
        ["rates"],
    ):
        with pytest.raises((Exception, SystemExit)) as caught:
            parsed(wrong)
        assert getattr(caught.value, "exit_code", getattr(caught.value, "code", 0)) == 2, wrong


@pytest.mark.parametrize(("where", "words"), command_lines("gpucost"), ids=lambda value: str(value))
def test_every_gpucost_line_is_understood(where: str, words: list[str]) -> None:
    try:
        parsed(words)
    except (Exception, SystemExit) as error:
        if getattr(error, "exit_code", 1) == 0:  # --help and --version end right there
            return
        told = error.format_message() if hasattr(error, "format_message") else repr(error)
        raise AssertionError(f"{where}: gpucost {shlex.join(words)}: {told}") from error


def test_the_pages_show_the_commands_that_readers_need() -> None:
    shown = {words[0] for _, words in command_lines("gpucost") if words}
    assert shown >= {"init", "config", "backfill", "invoice", "jobs", "report", "rates", "status"}


def test_every_gpucostd_line_is_understood() -> None:
    lines = command_lines("gpucostd")
    assert lines
    assert {words[0] for _, words in lines} >= {"run", "node"}
    for where, words in lines:
        command = [sys.executable, "-m", "slurm_gpucost.daemon", words[0], "--help"]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        assert told, f"{where}: gpucostd {words[0]}"
        for word in words[1:]:
            assert not word.startswith("-") or f" {word} " in told, f"{where}: {word}"


def whole_config() -> str:
    return template(
        timezone="Europe/Berlin",
        currency="EUR",
        cluster="alpha",
        gpus=[parse_gpu_option("a100=8x12000")],
        shards=4,
        purchase_date=date(2026, 1, 1),
    )


def test_configs_that_pages_show_load(tmp_path: Path) -> None:
    for sample in [Block("gpucost init", "toml", whole_config()), *blocks("toml")]:
        table = tomllib.loads(sample.text)
        if {"cluster", "currency", "timezone"} <= set(table):
            file = tmp_path / "gpucost.toml"
            file.write_text(sample.text, encoding="utf-8")
            assert load(file).pools, sample.where


def test_tables_of_the_cost_model_can_be_put_into_a_config(tmp_path: Path) -> None:
    gpus = [parse_gpu_option(gpu) for gpu in ("a100=8x12000", "h100=4x30000")]
    day = date(2026, 1, 1)
    text = template(timezone="Europe/Berlin", currency="EUR", cluster="alpha", gpus=gpus, purchase_date=day)
    tables = [block.text for block in blocks("toml") if "cost-model.md" in block.where]
    shown = [text for text in tables if not text.startswith("cluster = ")]  # else a config of its own
    file = tmp_path / "gpucost.toml"
    file.write_text("\n".join([text, *shown]), encoding="utf-8")
    costs = load(file).pools[0].costs
    assert {asset.tag for asset in costs.capital.assets} == {"a100", "h100", "v100", "HPC-2025-18"}
    assert {item.name for item in costs.items} >= {"operators", "migration"}
    assert len(costs.tariff.versions[0].bands) == 3


def test_what_readers_are_shown_is_what_is_printed(tmp_path: Path) -> None:
    config, saved = tmp_path / "gpucost.toml", tmp_path / "saved.txt"
    config.write_text(whole_config().replace("staff = 0", "staff = 6000"), encoding="utf-8")
    saved.write_text(SAVED, encoding="utf-8")
    environment = {**os.environ, "GPUCOST_CONFIG": str(config), "GPUCOST_LEDGER": str(tmp_path / "ledger.db")}

    def gpucost(words: list[str]) -> str:
        command = [sys.executable, "-m", "slurm_gpucost.cli", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    gpucost(["backfill", "--from-file", str(saved)])
    shown = [(page, m) for page in PAGES for m in SHOWN.finditer(page.read_text(encoding="utf-8"))]
    for page, match in shown:
        if page.name in ("researcher.md", "finance.md"):
            assert match[2].strip() in gpucost(shlex.split(match[1])[1:]), f"{page.name}: {match[1]}"
    assert {page.name for page, _ in shown} >= {"researcher.md", "finance.md"}


def test_the_settings_page_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == reference()


def test_options_named_in_running_text_exist() -> None:
    """`gpucost NAME --option` in backquotes, outside blocks."""
    from typer.main import get_command

    from slurm_gpucost.cli.app import app

    root: Any = get_command(app)
    checked = 0
    for page in PAGES:
        for text in re.findall(r"`gpucost ([^`]+)`", BLOCK.sub("", page.read_text(encoding="utf-8"))):
            words = text.split()
            command: Any = root
            while words and not words[0].startswith("-") and hasattr(command, "commands"):
                assert words[0] in command.commands, f"{page.relative_to(ROOT)}: gpucost {text}"
                command = command.commands[words.pop(0)]
            known = {option for one in (root, command) for param in one.params for option in param.opts} | {
                "-h",
                "--help",
            }
            for word in words:
                option = word.partition("=")[0]
                if re.fullmatch(r"-[a-zA-Z]|--[a-z][\w-]*", option):
                    assert option in known, f"{page.relative_to(ROOT)}: gpucost {text}"
            checked += 1
    assert checked > 20


def test_pages_name_nothing_of_one_machine() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"/work/", text), page
        assert text.isprintable() or all(c.isprintable() or c == "\n" for c in text), page
