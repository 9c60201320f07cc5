"""The catalogues say every message in every language, and the code makes those messages with their facts."""

from __future__ import annotations

# not quick: every call of the product is looked at, 4 s of CPU
import ast
import re
import tomllib
from pathlib import Path

import pytest

from gateway.messages.alarm_kinds import KINDS
from gateway.messages.languages import CATALOGUES
from gateway.messages.system_errors import SYSTEM_CODES
from ledger_client.message_formats import FORMATS
from ledger_client.messages import Blank
from tests.gateway.messages.catalogues import CHINESE, ENGLISH, facts, made, mentioned, tables

FORMS = {"text-and-fix", "list-joint", "list-more", "parts-joint"} | {
    f"span-{u}" for u in ("s", "min", "h", "d", "years")
}
"""What formats are made of: no messages."""
FROM_TABLES = SYSTEM_CODES | {f"kind-{code}" for code in KINDS}
MADE_FROM_TABLES = {
    "gateway/messages/system_errors.py",
    "ledger_client/system_errors.py",
    "gateway/messages/alarm_kinds.py",
}
"""Modules that take the code of a message from a table, whose codes the first lines above collect."""
FITS = {
    "": {"str", "int", "bool", "message", "kind"},
    "time": {"int"}, "duration": {"int"}, "setting": {"int"}, "size": {"int"}, "ordinal": {"int"},
    "names": {"names"}, "list": {"names"}, "parts": {"messages"}, "fix": {"message"},
    "alarm": {"kind"}, "word": {"str"},
}  # fmt: skip
UNITS = {"time": "_(ms|s)", "duration": "_(us|ms|s)", "setting": "_ms", "size": "_bytes"}


@pytest.mark.parametrize(("language", "paths"), [("en", ENGLISH), ("zh", CHINESE)])
def test_a_catalogue_parsed_table_by_table_is_what_its_files_are(language: str, paths: tuple[Path, ...]) -> None:
    parsed = {code: tomllib.loads(lines) for code, lines in CATALOGUES[language].tables().items()}
    assert parsed == tables(paths[::-1])


def blanks(code: str, language: str) -> set[Blank]:
    return CATALOGUES[language].entry(code).blanks


def messages() -> set[str]:
    return set(tables(ENGLISH)) - FORMS - {code for code in tables(ENGLISH) if code.startswith("word-")}


def test_a_code_stands_in_one_english_file() -> None:
    first, second = (set(tables((path,))) for path in ENGLISH)
    assert first & second == set()


def test_each_code_is_said_in_each_language() -> None:
    assert set(tables(ENGLISH)) == set(tables(CHINESE))


def test_the_catalogues_are_in_the_same_order() -> None:
    assert list(tables(ENGLISH)) == list(tables(CHINESE))


def test_an_entry_has_a_text_or_plural_forms_and_a_fix_in_each_language_or_in_none() -> None:
    for language, paths in (("en", ENGLISH), ("zh", CHINESE)):
        allowed = [{"text"}, {"one", "other"}] if language == "en" else [{"text"}]
        odd = {code: set(table) for code, table in tables(paths).items() if set(table) - {"fix"} not in allowed}
        assert odd == {}
    english, chinese = tables(ENGLISH), tables(CHINESE)
    assert [code for code in english if ("fix" in english[code]) != ("fix" in chinese[code])] == []


def test_languages_show_the_same_facts() -> None:
    def shown(code: str, language: str) -> set[str]:
        return {blank.fact for blank in blanks(code, language)}

    assert {code for code in tables(ENGLISH) if shown(code, "en") != shown(code, "zh")} == set()


def test_the_list_of_codes_is_that_of_the_catalogues() -> None:
    assert set(facts()) == messages()
    unknown = {
        code: [b.fact for b in blanks(code, "en") if b.fact not in those] for code, those in facts().items()
    }  # fmt: skip
    assert {code: those for code, those in unknown.items() if those} == {}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_formats_fit_the_facts_and_their_units(language: str) -> None:
    wrong = []
    for code, those in facts().items():
        for blank in blanks(code, language):
            fits = blank.form in FORMATS or not blank.form
            fits = fits and those[blank.fact] in FITS[blank.form]
            if not fits or not re.search(UNITS.get(blank.form, "") + "$", blank.fact):
                wrong.append((code, blank, those[blank.fact]))
    assert wrong == []


def test_counted_messages_have_a_count() -> None:
    assert [code for code, table in tables(ENGLISH).items() if "one" in table and facts()[code].get("n") != "int"] == []


def test_chinese_is_chinese() -> None:
    """No two English words one after the other, but in commands and what is quoted; names and keys stand alone."""
    code = re.compile(r"`[^`]*`|\{[^}]*\}|\"[^\"]*\"")
    english = {
        code_: table[key] for code_, table in tables(CHINESE).items() for key in table
        if re.search("[a-z]{2} [a-z]{2}", code.sub("", table[key])) and not re.search("[\u4e00-\u9fff]", table[key])
    }  # fmt: skip
    assert english == {}


def test_the_code_makes_messages_that_there_are_with_their_facts() -> None:
    wrong = []
    for call in made():
        if call.code is None:
            if call.where.partition(":")[0] not in MADE_FROM_TABLES:
                wrong.append(f"{call.where}: the code is not a literal")
            continue
        those = facts().get(call.code)
        if those is None:
            wrong.append(f"{call.where}: no code {call.code}")
        elif not call.all_named or set(call.facts) != set(those):
            wrong.append(f"{call.where}: {call.code} has the facts {sorted(those)}, not {sorted(call.facts)}")
    assert wrong == []


def test_no_fact_is_a_sentence_that_was_made_before() -> None:
    """An error or a message in a text cannot be said in another language any more."""
    flat = [
        f"{call.where}: {name}"
        for call in made()
        for name, value in call.facts.items()
        if isinstance(value, ast.JoinedStr)
        or (isinstance(value, ast.Call) and ast.unparse(value) in ("str(error)", "str(message)", "repr(error)"))
    ]
    assert flat == []


def test_every_code_is_made_somewhere() -> None:
    assert messages() - FROM_TABLES - mentioned() == set()
