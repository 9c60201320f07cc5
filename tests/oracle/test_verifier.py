"""The second verifier (verifier.py) and ours say the same of every case of the corpus, and of mutants.

``python -m tests.oracle.test_verifier FIRST LAST`` asks both about as many mutants as wanted and prints differences.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pycddl
import pytest

from ledger_client.errors import TrustFileError, VerificationError
from ledger_client.formats.senml import PRIMARY_UNITS, SECONDARY_UNITS
from ledger_client.verification.trust_dates import demand_in_force
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.verify import verify
from tests.corpus.cases import cases
from tests.oracle.mutants import Mutant, mutant
from tests.oracle.verifier import (
    COVERAGE,
    EVENT,
    PRIMARY,
    READING,
    SECONDARY,
    STEPS,
    receipt_of,
    statement_of,
)
from tests.oracle.verifier_cose import Bad, decode, sign1

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "corpus"

Answer = tuple[str, str | None, str]


def python() -> Path:
    """The oracle's own: cbor2 is another version there, and nothing of ours is installed."""
    found = Path(os.environ.get("METERSEAL_ORACLE_PYTHON", ROOT / ".venv-oracle" / "bin" / "python"))
    if not found.exists():
        pytest.fail(f"{found} is missing: scripts/test makes the environment of the independent verifiers")
    return found


def oracle(*arguments: str, asked: str = "") -> list[str]:
    command = [str(python()), "-m", "tests.oracle.verifier", *arguments]
    done = subprocess.run(command, cwd=ROOT, input=asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return str(done.stdout).splitlines()


def oracles(mutants: Iterable[Mutant]) -> list[Answer]:
    lines = [json.dumps({"proof": one.proof.hex(), "trust": one.trust.hex(), "now": one.now}) for one in mutants]
    return [tuple(json.loads(line)) for line in oracle(asked="\n".join(lines))]


def ours(one: Mutant, folder: Path) -> Answer:
    path = folder / "trust.toml"
    path.write_bytes(one.trust)
    try:
        trust = load_trust(path)
        demand_in_force(trust, one.now)
        verify(one.proof, trust, one.now)
    except TrustFileError as error:
        return "trust", None, str(error)
    except VerificationError as error:
        return "bad", STEPS[error.step - 1], str(error)
    return "good", None, ""


def differences(seeds: Iterable[int], folder: Path, seen: Counter[tuple[str, str | None]]) -> Iterator[str]:
    mutants = [mutant(seed) for seed in seeds]
    for seed, one, found in zip(seeds, mutants, oracles(mutants), strict=True):
        answer = ours(one, folder)
        seen[answer[:2]] += 1
        if answer[:2] != found[:2]:
            yield f"mutant {seed} ({one.what}): ours {answer}, the oracle's {found}"


def test_both_say_the_same_of_the_corpus() -> None:
    cases = [json.loads(line) for line in oracle(str(CORPUS))]
    assert len(cases) >= 300
    assert [case for case in cases if case["found"] != case["expected"]] == []


@pytest.mark.parametrize("first", range(0, 1500, 500))
def test_both_say_the_same_of_mutants(first: int, tmp_path: Path) -> None:
    seen: Counter[tuple[str, str | None]] = Counter()
    assert list(differences(range(first, first + 500), tmp_path, seen)) == []
    assert {step for verdict, step in seen if verdict == "bad"} == set(STEPS)
    assert {verdict for verdict, _ in seen} == {"good", "bad", "trust"}


def layers_of(proof: bytes) -> Iterator[tuple[str, bytes]]:
    """Each layer with the name of its rule in docs/evidence.cddl."""
    bundle = decode(proof)
    record, statement = sign1(bundle["record"]), statement_of(bundle["statement"])
    bodies = {READING: "pack", COVERAGE: "coverage", EVENT: "event"}
    yield from (("bundle", proof), ("envelope", bundle["record"]), ("record-header", record.protected))
    yield bodies[record.header[3]], record.payload or b""
    yield from (("attached", bundle["statement"]), ("statement-header", statement.message.protected))
    yield "statement", statement.message.payload or b""
    for data in statement.receipts:
        with suppress(Bad):
            receipt = receipt_of(data)
            if receipt.size is not None:  # in our own form
                yield from (("receipt", data), ("receipt-header", receipt.message.protected))


def test_every_layer_of_a_good_case_fits_its_rule() -> None:
    text = (ROOT / "docs" / "evidence.cddl").read_text()
    good = {case.file.read_bytes() for case in cases() if case.verdict == "good"}
    layers = {layer for proof in good for layer in layers_of(proof)}
    for rule in {rule for rule, _ in layers}:
        schema = pycddl.Schema(f"start = {rule}\n{text}")
        for data in (data for name, data in layers if name == rule):
            schema.validate_cbor(data)
    assert len(good) >= 30
    assert len({rule for rule, _ in layers}) == 11


def test_the_units_of_the_document_are_those_of_both() -> None:
    text = (ROOT / "docs" / "verifier.md").read_text()
    paragraph = text[text.index("**Units** of RFC 8428") :].partition("\n\n")[0]
    primary, _, secondary = paragraph.partition("Secondary:")
    units = [frozenset(re.findall("`([^`]+)`", part)) for part in (primary, secondary)]
    assert units == [frozenset(PRIMARY), frozenset(SECONDARY)] == [PRIMARY_UNITS, SECONDARY_UNITS]


def main(first: int, last: int, folder: Path) -> None:
    seen: Counter[tuple[str, str | None]] = Counter()
    found = 0
    for begin in range(first, last, 1000):
        for difference in differences(range(begin, min(begin + 1000, last)), folder, seen):
            found += 1
            print(difference, flush=True)
    print(f"{sum(seen.values())} mutants, {found} differences; ours: {dict(seen)}")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        main(int(sys.argv[1]), int(sys.argv[2]), Path(folder))
