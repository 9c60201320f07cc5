"""Texts and code of the verifier's page: complete in both languages, the product's own words, nothing that fetches."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path

from ledger_client.formats.record import MISSED_REASONS
from ledger_client.formats.senml import PRIMARY_UNITS, SECONDARY_UNITS, Quality
from ledger_client.verifier_page import page
from ledger_client.verifier_page.words import texts

ROOM = Path(page.__file__).parent
SCRIPTS = {path.stem: path.read_text("utf-8") for path in (ROOM / "script").glob("*.js")}
SCRIPT = "\n".join(SCRIPTS.values())
TABLES = tomllib.loads((ROOM / "words.toml").read_text("utf-8"))
MOST_BYTES = 150_000


def test_every_sentence_is_used_and_every_code_has_one() -> None:
    makers = "malformed|refuse|Failure|NotJudged|Sentence|at|fail|notToml"
    raised = set(re.findall(rf'(?:{makers})\(\s*(?:[^"()]*,\s*)?"([a-z0-9-]+)"', SCRIPT))
    named = set(re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)*)"', SCRIPT))
    known = texts().keys()

    assert len(raised) > 100
    assert raised - known - {"gateway", "meter", "policy"} == set()
    assert {*TABLES["sentence"], *TABLES["shared"]} - named == set()


def test_every_text_of_the_page_is_used_and_there() -> None:
    pages = (ROOM / "page.html").read_text("utf-8")
    named = {f"text.{name}" for name in re.findall(r'data-text="([\w-]+)"', pages)} | set(
        re.findall(r'"(text\.[\w-]+)"', SCRIPT)
    )
    made = {"text.passed", "text.failed", "text.not-reached", "text.reading", "text.coverage", "text.event"}
    made |= {f"text.clock-{clock}" for clock in "UISR"}

    assert {key for key in texts() if key.startswith("text.")} == named | made


def test_both_languages_fill_in_the_same() -> None:
    for key, (english, chinese) in texts().items():
        assert sorted(re.findall(r"\{\w+", english)) == sorted(re.findall(r"\{\w+", chinese)), key
        assert chinese.strip(), key


def test_shared_sentences_are_those_of_the_product() -> None:
    """One wording for one code, wherever it is read: the page's Chinese is that of the gateway's pages."""
    english = tomllib.loads((files("ledger_client") / "en.toml").read_text("utf-8"))
    chinese = tomllib.loads((files("gateway.messages") / "zh.toml").read_text("utf-8"))

    assert {code: chinese[code]["text"] for code in TABLES["shared"]} == TABLES["shared"]
    assert english.keys() & TABLES["sentence"].keys() == set()


def test_the_script_knows_what_python_knows() -> None:
    def words(name: str) -> list[str]:
        found = re.search(rf"const {name} = (?:new Set\()?\s*\(\s*((?:\"[^\"]*\"[\s+]*)+)\)", SCRIPT)
        assert found, name
        return "".join(re.findall(r'"([^"]*)"', found[1])).split()

    assert set(words("PRIMARY_UNITS")) == PRIMARY_UNITS
    assert set(words("SECONDARY_UNITS")) == SECONDARY_UNITS
    assert words("QUALITY") == [bit.name for bit in Quality]
    assert set(words("MISSED_REASONS")) == MISSED_REASONS
    assert list(TABLES["quality"]) == [bit.name for bit in Quality]


def test_the_page_is_one_readable_file_of_the_same_bytes() -> None:
    data = page.verifier_page("0.1.0")
    page.verifier_page.cache_clear()

    assert page.verifier_page("0.1.0") == data
    assert page.verifier_page("0.1.1") != data
    assert len(data) <= MOST_BYTES
    assert set(page.MODULES) == SCRIPTS.keys()
    assert all(script.encode() in data for script in SCRIPTS.values())
    assert max(len(line) for line in SCRIPT.splitlines()) <= 120


def test_nothing_in_it_fetches_or_makes_markup_of_text() -> None:
    forbidden = (
        r"fetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import\(|innerHTML|outerHTML|insertAdjacent|"
        r"document\.write|eval\(|Function\(|setTimeout|localStorage|location|postMessage"
    )
    data = page.verifier_page("0.1.0").decode()

    assert re.findall(forbidden, SCRIPT) == []
    assert re.findall(r"\b(?:src|href|action|srcset)=(?!\"#)", data) == []
    assert "default-src &#x27;none&#x27;" in data
