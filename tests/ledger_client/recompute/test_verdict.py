"""Yes or no to a folder: files by content, any gateways, no time and no gateway left out; a reason has its way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ledger_client.accounting.formats.rows import Rows
from ledger_client.formats.record import record_hash
from ledger_client.recompute.report import as_json, in_words
from ledger_client.recompute.verdict import Verdict, judge
from tests.ledger_client.recompute.test_recompute import hour, of_another_gateway
from tests.support.accounted import POINT, QUARTER_MS, SECRET, Accounted, plan_fields
from tests.support.audit_batches import proof_of, trusted
from tests.support.commands import ledger_command
from tests.support.evidence import GATEWAY, NOW


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of quarters in three batches, with its rows; under names that say nothing, in folders of folders."""
    site, rows, _ = hour(tmp_path_factory.mktemp("made"))
    folder = tmp_path_factory.mktemp("given")
    (folder / "a" / "b").mkdir(parents=True)
    for n, path in enumerate([*site.files, rows]):
        (folder / "ab"[n % 2] if n % 2 == 0 else folder / "a" / "b").mkdir(exist_ok=True)
        (folder / ("a" if n % 2 == 0 else "a/b") / f"file-{n}.bin").write_bytes(path.read_bytes())
    (folder / "report.pdf").write_bytes(b"report")
    return folder


def judged(*paths: Path, **options: object) -> Verdict:
    return judge(paths, trusted(), NOW, **options)  # type: ignore[arg-type]


def reasons(verdict: Verdict) -> list[tuple[str | None, str]]:
    return [(why.rule, why.problem) for why in verdict.why]


def at(from_ms: int, to_ms: int) -> Callable[[int], tuple[int, int]]:
    return lambda _: (from_ms, to_ms)


def test_a_folder_is_judged_by_content(folder: Path) -> None:
    verdict = judged(folder)
    assert reasons(verdict) == []
    assert verdict.yes
    (one,) = verdict.gateways
    assert one.gateway == GATEWAY
    assert [(period.equal, period.rows_compared) for period in one.result.periods] == [(True, True)]
    assert len(verdict.folder.documents) == 1
    assert in_words(verdict)[0] == "YES, with 2 unusual inputs"
    assert [one.code for one in verdict.gateways[0].unusual] == ["own-profile", "role"]
    assert judged(folder, folder, *folder.rglob("*.bin")).yes  # each file once


def test_an_empty_file_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "bill.pdf").touch()
    assert judged(tmp_path).folder.documents == {}


def test_two_gateways_and_one_that_is_not_given(folder: Path, tmp_path: Path) -> None:
    other = of_another_gateway(folder / "a" / "file-0.bin", tmp_path)
    verdict = judged(folder, other)
    assert [one.gateway for one in verdict.gateways] == ["other", GATEWAY]
    assert {why.gateway for why in verdict.why} == {"other"}  # its statement is not of a key that is trusted
    assert verdict.gateways[1].result.equal
    alone = judged(other)
    assert alone.not_given == [GATEWAY]
    assert any(line.startswith(f"  gateway        {GATEWAY}: not given") for line in in_words(alone))


def test_a_gateway_that_is_named_has_to_be_there(folder: Path) -> None:
    verdict = judged(folder, gateways=[GATEWAY, "absent"])
    assert [(why.gateway, why.problem) for why in verdict.why] == [("absent", "no batches of it are among the files")]
    assert in_words(verdict)[0] == "NO: absent: no batches of it are among the files"


def test_rows_of_no_statement_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.mrows").write_bytes(Rows(SECRET, ()).encode())
    ((rule, problem),) = reasons(judged(folder, tmp_path))
    assert (rule, problem) == ("T1", f"{tmp_path}/x.mrows: the rows are of no statement in the files")


@pytest.mark.parametrize(
    ("name", "data"), [("x", b"\xa4\x61v\x01"), ("x", b"\xa5\x61v"), ("x", b"\xa3\x61v"), ("x.mseal", b"report")]
)
def test_what_begins_or_is_called_like_evidence_and_is_none_is_named(
    folder: Path, tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    ((_, problem),) = reasons(judged(folder, tmp_path))
    assert problem.startswith(f"{tmp_path}/{name}: ")


def test_nothing_is_no(tmp_path: Path) -> None:
    assert [why.problem for why in judged(tmp_path).why] == ["the files hold no batch and no proof of a gateway"]


class Month(Accounted):
    """Quarters of an hour, each stated by itself, and some left out."""

    def stated(self, quarters: list[tuple[int, int]], **plan: object) -> int:
        """State these, from and to in quarters from its begin, over twelve quarters of polls."""
        from_ms, before = self.from_ms, None
        self.publish(plan_fields(from_ms, **plan))  # type: ignore[arg-type]
        for _ in range(12):
            self.polls(90)
        self.seal()
        for first, last in quarters:
            span = from_ms + first * QUARTER_MS, from_ms + last * QUARTER_MS
            self.state(*span, (0, 0), before=before)
            before = record_hash(self.rows[-1])
        self.polls(2)
        self.seal()
        return from_ms


def test_time_between_statements_has_one(tmp_path: Path) -> None:
    site = Month(tmp_path)
    from_ms = site.stated([(0, 2), (4, 6)])
    verdict = judged(*site.files)
    (gap,) = verdict.gateways[0].gaps
    assert (gap.plan, gap.from_ms - from_ms, gap.to_ms - from_ms) == ("main", 2 * QUARTER_MS, 4 * QUARTER_MS)
    assert ("T2", "no statement is of") in [(rule, text[11:29]) for rule, text in reasons(verdict)]


@pytest.mark.parametrize(("span", "free"), [((0, 2), []), ((-4, 2), []), ((1, 3), [(2, 3)]), ((4, 8), [(4, 8)])])
def test_a_period_that_is_asked_for_is_stated_whole(
    tmp_path: Path, span: tuple[int, int], free: list[tuple[int, int]]
) -> None:
    """Before the plan's begin nothing has to be stated."""
    site = Month(tmp_path)
    from_ms = site.stated([(0, 2)])
    verdict = judged(*site.files, period=at(*(from_ms + n * QUARTER_MS for n in span)))
    found = [((gap.from_ms - from_ms) // QUARTER_MS, (gap.to_ms - from_ms) // QUARTER_MS)
             for gap in verdict.gateways[0].gaps]  # fmt: skip
    assert found == free
    assert verdict.yes == (not free)
    if free == [(4, 8)]:
        assert "no statement of this time is among the files" in [why.problem for why in verdict.why]


def test_a_plan_that_is_never_stated_is_found_unless_its_nodes_are_closed(tmp_path: Path) -> None:
    site = Month(tmp_path)
    from_ms = site.from_ms
    other = plan_fields(from_ms, f"{POINT}-2") | {"plan": "hidden"}
    site.event("plan", **other)
    site.stated([(0, 2)])
    assert [gap.plan for gap in judged(*site.files).gateways[0].gaps] == ["hidden"]
    of = {"kind": "closure", "of": "station", "from": from_ms, "to": from_ms, "values": {}, "user": "u"}
    (tmp_path / "closed").mkdir()
    closed = Month(tmp_path / "closed")
    closed.event("plan", **other | {"nodes": {"gone": other["nodes"]["station"]}})
    closed.event("entry", **of | {"of": "gone"}, reason="sold")
    closed.stated([(0, 2)])
    assert judged(*closed.files).gateways[0].gaps == []


def test_a_statement_that_is_not_complete_says_why(tmp_path: Path) -> None:
    site = Month(tmp_path)
    from_ms = site.from_ms
    site.publish(plan_fields(from_ms))
    site.polls(100)
    site.register -= 700  # nothing says why
    site.polls(260)
    site.seal()
    site.state(from_ms, from_ms + 2 * QUARTER_MS, (0, 0))
    site.polls(2)
    site.seal()
    verdict = judged(*site.files)
    ((rule, problem),) = reasons(verdict)
    assert rule == "T7"
    assert problem.endswith("is not complete: station: 1 row of unknown amount")
    assert "    not complete (T7, docs/accounting.md): station: 1 row of unknown amount" in in_words(verdict)
    assert as_json(verdict)["gateways"][0]["periods"][0]["lacking"][0]["unknown"] == 1


def test_a_proof_of_a_statement_alone_is_no(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes((folder / "a" / "file-2.bin").read_bytes())
    proof = proof_of(tmp_path / "one", "period")
    problems = [why.problem for why in judged(proof).why]
    assert problems[0] == "no batches of it are among the files, only proofs"


@pytest.mark.parametrize(
    "period", ["2026-13", "26", "2026-01-01T00:00:00Z", "A/B", "2026-01-02T00:00:00Z/2026-01-01T00:00:00Z"]
)
def test_a_period_of_another_form_is_usage(folder: Path, tmp_path: Path, period: str) -> None:
    (tmp_path / "trust.toml").write_text('[policy]\nreceipts = 1\nledgers = ["l"]\n')
    answer = ledger_command("recompute", folder, "--trust", tmp_path / "trust.toml", "--period", period)
    assert answer.code == 2
    assert period in answer.err


def test_the_command_says_no_where_nobody_is_trusted(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "trust.toml").write_text('[policy]\nreceipts = 1\nledgers = ["l"]\n')
    answer = ledger_command("recompute", folder, "--trust", tmp_path / "trust.toml", "--period", "2026", "--json")
    assert (answer.code, answer.facts["answer"]) == (1, "NO")
    assert ledger_command("recompute", tmp_path / "absent", "--trust", tmp_path / "trust.toml").code == 2
