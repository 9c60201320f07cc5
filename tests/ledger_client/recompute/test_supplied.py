"""What people supplied, laid open: in words, as JSON, for a spreadsheet and as a page; none runs what it shows."""

from __future__ import annotations

import csv
import io
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ledger_client.csv_cells import cell
from ledger_client.inputs.sheet import COLUMNS
from ledger_client.recompute.page import page
from ledger_client.recompute.report import answer, as_json, as_sheet, in_words
from ledger_client.recompute.verdict import Verdict, judge
from tests.support.accounted import POINT, QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import trusted
from tests.support.commands import ledger_command
from tests.support.evidence import NOW

FORMULA = '=HYPERLINK("http://x";"y")'
MARKUP = "<script>alert(1)</script>"
DOCUMENT = b"the bill"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Accounted:
    """Two quarters that are stated, an entry by a hand that means no good, and another version of the plan."""
    site = Accounted(tmp_path_factory.mktemp("site"))
    from_ms = site.from_ms
    site.publish(plan_fields(from_ms))
    settled = {"kind": "settlement", "of": "station", "from": from_ms, "to": from_ms + QUARTER_MS, "unit": "kWh"}
    written = {"reason": FORMULA, "user": MARKUP, "document": sha256(DOCUMENT).digest()}
    site.event("entry", **settled, values={"value": 90}, **written)
    site.polls(300)
    site.seal()
    site.state(from_ms, from_ms + 2 * QUARTER_MS, (0, 0))
    site.event("plan", **plan_fields(from_ms + 8 * QUARTER_MS, most=900) | {"v": 2})
    site.polls(2)
    site.seal()
    return site


def judged(site: Accounted, *more: Path) -> Verdict:
    return judge([*site.files, *more], trusted(), NOW)


def test_inputs_are_laid_open(site: Accounted, tmp_path: Path) -> None:
    (tmp_path / "bill.pdf").write_bytes(DOCUMENT)
    for more, file in (((), None), ((tmp_path,), f"{tmp_path}/bill.pdf")):
        verdict = judged(site, *more)
        assert [why.problem for why in verdict.why] == []
        codes = [one["code"] for one in as_json(verdict)["unusual"]]
        assert codes == ["no-document"] * (file is None) + ["own-profile", "role"]
        assert answer(verdict) == f"YES, with {len(codes)} unusual inputs"
        first, profile, second, entry = as_json(verdict)["inputs"]
        assert [one["kind"] for one in (first, profile, second, entry)] == ["plan", "profile", "plan", "settlement"]
        assert second["changes"][1:] == [f"points.{POINT}.max: 1000 → 900", "v: 1 → 2"]
        assert (entry["standing"], entry["values"], entry["document_file"]) == ("counts", "value 90, unit kWh", file)
        assert entry["at_ledgers"] > entry["signed"]
    assert any("document not here" in line for line in in_words(judged(site)))


def test_a_spreadsheet_runs_nothing(site: Accounted) -> None:
    text = as_sheet(judged(site))
    lines = list(csv.DictReader(io.StringIO(text)))
    assert tuple(lines[0]) == COLUMNS
    (entry,) = (line for line in lines if line["kind"] == "settlement")
    assert (entry["reason"], entry["user"], entry["unusual"]) == (f"'{FORMULA}", MARKUP, "no-document")
    assert all(line.startswith('"') and line.endswith('"') for line in text.splitlines())  # cut at ; it stays text
    assert [cell(text) for text in ("+1", "-1", "-1.5", "-1;x", " @x", "\t=x", "＝x", "a=b")] == [
        "'+1", "-1", "-1.5", "'-1;x", "' @x", "'\t=x", "'＝x", "a=b",
    ]  # fmt: skip


class Tags(HTMLParser):
    """Every tag of a page, and whatever would fetch something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [name for name, _ in attributes if name in ("src", "href", "srcset", "onload", "onclick")]


def test_a_page_runs_and_fetches_nothing(site: Accounted) -> None:
    text = page(judged(site), NOW)
    tags = Tags(text)
    assert "script" not in tags.tags
    assert tags.fetched == []
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<h1>YES, with 3 unusual inputs</h1>" in text
    assert "default-src 'none'" in text


def test_files_are_written_and_nothing_else_is_replaced(site: Accounted, tmp_path: Path) -> None:
    trust, kept = tmp_path / "trust.toml", tmp_path / "kept.txt"
    trust.write_text('[policy]\nreceipts = 1\nledgers = ["l"]\n')
    kept.write_text("kept")
    of = ("recompute", *site.files, "--trust", trust)
    for option in ("--page", "--inputs"):
        assert ledger_command(*of, option, kept).code == 2
    assert kept.read_text() == "kept"
    for _ in range(2):
        assert ledger_command(*of, "--page", tmp_path / "p.html", "--inputs", tmp_path / "i.csv").code == 1
    assert (tmp_path / "p.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "i.csv").read_bytes().startswith(b'"gateway","plan"')
