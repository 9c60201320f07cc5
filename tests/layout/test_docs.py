"""The documentation: its site builds, every page has its place, and every command in it is one that there is."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.devices.knowledge.quantities import QUANTITIES
from scripts.handbook import pages, quantities, reference
from tests.campaigns.dishonest import dishonest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
OTHERS = {
    "export",
    "journalctl",
    "mbpoll",
    "promtool",
    "sudoedit",
    "systemctl",
    "systemd-creds",
    "apt",
    "apt-get",
    "echo",
    "pip",
    "printf",
    "python3",
    "sed",
    "test",
}
"""What commands in the documents are not ours."""


def blocks(text: str) -> list[str]:
    """The command lines of a document: those of shell blocks, and those behind the prompt of a console."""
    shell = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    console = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    typed = [line for block in shell for line in block.splitlines()]
    typed += [line[2:] for block in console for line in block.splitlines() if line.startswith(("$ ", "# "))]
    typed = [re.sub(r"^until (.*); do sleep 1; done$", r"\1", line) for line in typed]
    return [line for line in typed if line.strip() and not line.startswith("#")]


def inline(text: str) -> list[str]:
    """The commands of ours that stand in a sentence, as far as they are whole."""
    found = re.findall(r"`(meterseal(?:-ledger|-sim)? [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return [line for line in found if not re.search(r"[…|<>\[\]]", line)]


def test_the_names_of_points_are_those_of_the_vocabulary() -> None:
    page = quantities.PAGE.read_text()
    assert page == quantities.page(), "make it again: python -m scripts.handbook.quantities"
    assert page.count("\n| `") == len(QUANTITIES)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_is_one(document: Path) -> None:
    text = document.read_text()
    for line in [*blocks(text), *inline(text)]:
        check(line)


def check(line: str) -> None:
    """One command line: our program, its command, and its options."""
    for part in re.split(r"\s*(?:&&|\||;)\s+|\s+&$|\s+>>?\s+\S+$", line):
        words = shlex.split(part)
        words = words[1:] if words[:1] == ["sudo"] else words
        program = Path(words[0]).name if words else ""
        if not words or program in OTHERS:
            continue
        if words[0].startswith("scripts/"):
            assert (ROOT / words[0]).is_file(), line
            continue
        assert program in reference.COMMANDS, f"{line}: {program} is no command of ours"
        parse(reference.COMMANDS[program], program, words[1:], line)


def parse(command: click.Command, name: str, words: list[str], line: str) -> None:
    """Fails where click would not know a command or an option; what is missing does not matter in a text."""
    context = click.Context(command, info_name=name, **command.context_settings)
    try:
        if not isinstance(command, click.Group):
            command.make_parser(context).parse_args(args=list(words))
            return
        _, rest, _ = command.make_parser(context).parse_args(args=list(words))
        found, inner, rest = command.resolve_command(context, rest) if rest else (None, None, [])
    except click.UsageError as error:
        pytest.fail(f"{line}: {error.message}")
    if inner is not None:
        parse(inner, str(found), rest, line)


@pytest.mark.parametrize("name", reference.COMMANDS)
def test_help_lists_every_command_once_and_whole(name: str) -> None:
    command = reference.COMMANDS[name]
    assert isinstance(command, click.Group)
    for short in ("-h", "--help"):
        listed = CliRunner().invoke(command, [short]).output.partition("Options:")[2]
        assert "..." not in listed
        assert sorted(re.findall(r"^  ([a-z][a-z-]*)  ", listed, re.MULTILINE)) == sorted(command.commands)


def test_the_tutorial_walks_the_path_that_is_walked_in_the_tests() -> None:
    """tests/system/test_readme.py runs every command of the README."""
    walked = {line.removesuffix(" &") for line in blocks((ROOT / "README.md").read_text())}
    assert set(blocks((DOCS / "tutorial.md").read_text())) <= walked


def threats() -> list[list[str]]:
    """The cells of each row of the tables of threats.md; the last says by which case or test it is shown."""
    rows = re.findall(r"^\|(?!---)(.*)\|$", (DOCS / "threats.md").read_text(), re.MULTILINE)
    cells = [[cell.strip() for cell in row.split(" | ")] for row in rows]
    return [row for row in cells if row[-1] not in ("cases", "test")]


def test_the_threats_name_every_dishonest_history_and_tests_that_there_are() -> None:
    text = (DOCS / "threats.md").read_text()
    named = [word for *_, shown in threats() for word in re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)*)`", shown)]
    assert sorted(named) == sorted({*named}), "a case stands in two rows"
    assert set(named) == set(dishonest.CASES)
    assert [row[0] for row in threats() if not re.search(r"`(tests/[\w/]+\.py|[a-z0-9-]+)`", row[-1])] == []
    tests = set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text))
    assert {file for file, _ in tests if not (ROOT / file).is_file()} == set()
    assert [f"{file}::{name}" for file, name in tests if name and f"def {name}(" not in (ROOT / file).read_text()] == []


@pytest.mark.parametrize("row", threats(), ids=lambda row: row[0])
def test_a_threat_is_detected_by_what_its_cases_are_caught_by(row: list[str]) -> None:
    """Each case that a ledger, an audit or `verify` catches stands in a row that names it. What only
    shows at enrolment or in the form of a file has rows that say what is demanded."""
    _, by, shown = row[-3:]
    cases = [dishonest.CASES[name] for name in re.findall(r"`([a-z0-9-]+)`", shown)]
    parties = {case.by for case in cases if not case.where.startswith(("enroll", "trust from", "usage", "health"))}
    assert [party for party in parties if party not in by.lower()] == []


def test_decision_records_have_one_form() -> None:
    """``# NNN Title``, numbered without a gap, and what was decided under a heading of that name."""
    records = sorted((DOCS / "decisions").glob("*.md"))
    assert [path.name[:3] for path in records] == [f"{number:03}" for number in range(1, len(records) + 1)]
    for path in records:
        text = path.read_text()
        assert re.match(rf"# {path.name[:3]} [A-Z0-9].*[^.]\n\n", text), path.name
        assert "\n**Decision.**" in text, path.name


def test_every_document_has_its_place_in_the_menu() -> None:
    placed = {name for names in pages.MENU.values() for name in names} | {"index"}
    assert {path.stem for path in DOCS.glob("*.md")} <= placed


def test_every_key_of_the_configuration_is_told_with_its_meaning() -> None:
    text = reference.keys_page((DOCS / "configuration.md").read_text())
    assert re.findall(r"^\| .* \|  \|$", text, re.MULTILINE) == []
    assert '| `keep` | duration, as `"10s"` | `"90d"` |' in text


def test_a_name_of_a_document_becomes_a_link() -> None:
    linked = pages.linked("see docs/fieldbus.md (docs/decisions/011)\n```\ndocs/x.md\n```\n", "a/b.md", DOCS)
    damaged = "../decisions/011-a-damaged-database-is-read-page-by-page.md"
    assert linked == f"see [fieldbus](../fieldbus.md) ([decisions/011]({damaged}))\n```\ndocs/x.md\n```\n"


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.handbook", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|link|iframe)[^>]* (?:src|href)=\"(?:https?:)?//[^>]*>", text)
        assert loaded == [], page
    for sheet in (tmp_path / "site" / "_static").rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text()), sheet
