"""`meterseal commission --show` and `--page`, and proofs of a commissioning record, from a signed database."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.commissioning.record.configured import record_of
from gateway.commissioning.record.content import CommissioningRecord, Comparison, Photo
from gateway.commissioning.record.submit import submit, waiting_path
from gateway.config.model import Config
from gateway.records import MeterEvent
from ledger_client.formats.cose_key import ES256
from ledger_client.verification.explain import facts_in_words
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.trust_text import key_entry
from ledger_client.verification.verify import Verified, verify
from tests.support.commands import gateway_command
from tests.support.evidence import key
from tests.support.samples import START_S, Hands, settle, site
from tests.system.machine_contract import answer_keys, published_keys

METER, OTHER, PLAIN = "export-main", "stack-co2", "pv-inverter"
LEDGER = key("ledger", ES256)
AT_MS = START_S * 1000


def made_of(loaded: Config, meter: str = METER, **changes: Any) -> CommissioningRecord:
    compared = Comparison(
        "energy_export", "kWh", Decimal("1234.5"), "1.2 MWh", b"\1\4\0\0\0\2\x71\xcb", b"\1\4\4\0\0\0\0\xfb\x84", AT_MS,
        "agrees",
    )  # fmt: skip
    given: dict[str, Any] = {
        "identity": "serial_number=4711", "by": "somebody <b>", "at_ms": AT_MS, "comparisons": [compared],
        "plate_serial": "4711", "seals": ["A 1", "A 2"], "position": "cabinet 2", "remarks": "first\nsecond",
        "photos": [Photo("plate.jpg", 12, bytes(32))], "reversed_phase": "a generator on L2",
    }  # fmt: skip
    return record_of(loaded, meter, **{**given, **changes})


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A meter with two records in an anchored batch, and one whose record is sealed in a batch without a receipt."""
    made = site(tmp_path_factory.mktemp("commission") / "site", {'every = "60s"': 'every = "10s"'})
    with made.trust.open("a") as file:
        file.write(key_entry("ledger", LEDGER.public, 1_700_000_000, ledger="demo-ledger"))
    hands = Hands(made)
    hands.poll(3)
    for record in (made_of(made, by="the first one"), made_of(made)):
        hands.journal.happened(MeterEvent(METER, record.event()))
    hands.poll(15)
    settle(hands.store, [0], LEDGER)
    hands.journal.happened(MeterEvent(OTHER, made_of(made, OTHER).event()))
    hands.end()
    return made


def verified(loaded: Config, file: Path) -> Verified:
    """What a proof proves a day later: this site's time is not ours."""
    return verify(file.read_bytes(), load_trust(loaded.trust), START_S + 86_400)


def shown(loaded: Config, *words: object) -> Any:
    done = gateway_command("commission", loaded.path, *words)
    assert done.code == 0, done
    return done.out


def test_the_newest_record_is_shown_with_what_has_become_of_it(loaded: Config) -> None:
    facts = json.loads(shown(loaded, METER, "--json"))
    assert (facts["state"], facts["batch"], facts["ledgers"]) == ("anchored", 0, ["demo-ledger"])
    assert facts["record"].startswith(f"{METER}/")
    assert answer_keys(facts) == published_keys("meterseal commission")
    assert facts["content"]["by"] == "somebody <b>"
    assert facts["content"]["comparisons"][0]["value"] == 1234.5
    text = shown(loaded, METER, "--show")
    for words in (
        facts["record"], "anchored at demo-ledger", "serial_number=4711", "somebody <b>", "A 1, A 2", "first", "second",
        "energy_export: 1234.5 kWh; On the display: 1.2 MWh; agrees", "question 01 04 00 00", "plate.jpg, 12 B",
        made_of(loaded).profile_hash.hex(), "as the meter counts",
        "a phase may run against both others: a generator on L2",
    ):  # fmt: skip
        assert words in text, words
    assert "与显示屏比对" in shown(loaded, METER, "--show", "--language", "zh")
    assert json.loads(shown(loaded, OTHER, "--json"))["state"] in ("recorded", "sealed")


def test_the_record_that_waits_is_shown_first(loaded: Config) -> None:
    signed = json.loads(shown(loaded, METER, "--json"))["record"]
    submit(loaded, made_of(loaded, by="later"))
    try:
        facts = json.loads(shown(loaded, METER, "--json"))
        assert (facts["record"], facts["state"], facts["signed_before"]) == (None, "waiting", signed)
        assert facts["content"]["by"] == "later"
        assert "not signed yet" in shown(loaded, METER, "--show")
    finally:
        waiting_path(loaded.data, METER).unlink()


def test_a_meter_without_a_record_and_one_that_there_is_not_are_told(loaded: Config) -> None:
    none = gateway_command("commission", loaded.path, PLAIN, "--show")
    assert none.code == 1
    assert f"meterseal commission {loaded.path} {PLAIN}" in none.err
    unknown = gateway_command("commission", loaded.path, "nobody", "--show")
    assert unknown.code == 2
    assert METER in unknown.err


def test_the_proof_of_the_record_in_force_stands_beside_that_of_the_reading(loaded: Config, tmp_path: Path) -> None:
    output, beside = tmp_path / "may.mseal", tmp_path / "may-commissioned.mseal"
    done = gateway_command("prove", loaded.path, METER, "-o", output)
    assert done.code == 0, done
    record = json.loads(shown(loaded, METER, "--json"))["record"]
    assert f"wrote {beside}: {record}, the commissioning record in force" in done.out
    assert verified(loaded, output).kind == "reading"
    words = "\n".join(facts_in_words(verified(loaded, beside)))
    for line in (
        "commissioned   as somebody there has stated", "device        serial_number=4711",
        "compared      energy_export: 1234.5 kWh read, 1.2 MWh on the display: agrees", "  request     0104000000",
        "photo         plate.jpg, 12 bytes, SHA-256 0000", "direction     as the meter counts",
        "by            somebody <b>", "phase         one may run against both others: a generator on L2",
    ):  # fmt: skip
        assert line in words, line
    single = tmp_path / "single.mseal"
    assert gateway_command("prove", loaded.path, record, "-o", single).code == 0
    assert single.read_bytes() == beside.read_bytes()
    assert not (tmp_path / "single-commissioned.mseal").exists()


def test_the_file_beside_is_replaced_by_the_rules_of_the_first(loaded: Config, tmp_path: Path) -> None:
    output, beside = tmp_path / "a.mseal", tmp_path / "a-commissioned.mseal"
    beside.write_bytes(b"a letter")
    done = gateway_command("prove", loaded.path, METER, "-o", output)
    assert done.code == 2
    assert f"{beside}: " in done.err
    assert not output.exists()  # all or nothing
    assert beside.read_bytes() == b"a letter"
    assert gateway_command("prove", loaded.path, METER, "-o", output, "--force").code == 0
    assert beside.read_bytes() != b"a letter"


def test_a_record_that_is_not_anchored_is_a_note_and_without_one_there_is_nothing(
    loaded: Config, tmp_path: Path
) -> None:
    done = gateway_command("prove", loaded.path, OTHER, "-o", tmp_path / "co2.mseal")
    assert done.code == 0, done
    assert f"note: no proof of the commissioning record {OTHER}/" in done.err
    plain = gateway_command("prove", loaded.path, PLAIN, "-o", tmp_path / "pv.mseal")
    assert (plain.code, plain.err) == (0, "")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["co2.mseal", "pv.mseal"]


def test_a_page_is_written_and_replaced(loaded: Config, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    record = json.loads(shown(loaded, METER, "--json"))["record"]
    assert shown(loaded, METER, "--page", page).strip() == f"wrote {page}: {record}"
    text = page.read_text()
    assert "somebody &lt;b&gt;" in text
    assert "<svg" in text
    assert record in text
    shown(loaded, METER, "--page", page, "--language", "both")
    assert "Commissioning record / 投运记录" in page.read_text()


def test_another_profile_is_not_called_by_the_name_of_this_one(loaded: Config) -> None:
    submit(loaded, replace(made_of(loaded), profile_hash=bytes(32)))
    try:
        assert "Eastron" not in shown(loaded, METER, "--show")
    finally:
        waiting_path(loaded.data, METER).unlink()
    assert "Eastron" in shown(loaded, METER, "--show")


@pytest.mark.parametrize(
    "words", [("--show",), (METER, "--json", "--anew"), (METER, "--page", "x.html", "--answers", "a")]
)
def test_a_record_is_shown_of_one_meter_and_without_the_wizard(loaded: Config, words: tuple[str, ...]) -> None:
    done = gateway_command("commission", loaded.path, *words)
    assert done.code == 2
    assert "--show" in done.err
