"""The corpus: every case comes to its verdict, and the generator writes the same bytes again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from ledger_client.errors import STEPS, TrustFileError, VerificationError
from ledger_client.formats.record import Record, parse_record, parse_strictly
from ledger_client.verification.trust_dates import demand_in_force
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.verify import verify
from tests.corpus.cases import FOLDER, Case, cases
from tests.corpus.making.writing import files


def answer(case: Case, parse: Callable[[bytes], Record] = parse_record) -> tuple[str, str | None]:
    """What this package answers."""
    try:
        trust = load_trust(case.trust)
        demand_in_force(trust, case.now)
    except TrustFileError:
        return "trust", None
    try:
        verify(case.file.read_bytes(), trust, case.now, parse=parse)
    except VerificationError as error:
        return "bad", STEPS[error.step]
    return "good", None


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_case_comes_to_its_verdict(case: Case) -> None:
    assert answer(case) == case.answer, case.why


@pytest.mark.parametrize("part", range(8))
def test_the_strict_parser_alone_comes_to_the_same(part: int) -> None:
    assert [case.name for case in cases()[part::8] if answer(case, parse_strictly) != case.answer] == []


def test_the_generator_writes_the_same_bytes_again() -> None:
    stored = {
        f"{name}/{path.name}": path.read_bytes()
        for name in ("bundles", "trust", "cases")
        for path in (FOLDER / name).iterdir()
    }
    assert stored == files()


def test_the_corpus_is_as_large_as_it_is_to_be() -> None:
    verdicts = Counter(case.verdict for case in cases())
    assert len(cases()) >= 300
    assert verdicts["good"] >= 30
    assert {case.step for case in cases()} == {None, *STEPS.values()}
    # 1 MiB of it is the one bundle that is too large, of zeros
    assert sum(path.stat().st_size for path in FOLDER.glob("*/*") if path.suffix != ".py") <= 2_750_000
