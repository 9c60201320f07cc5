"""Changes of the configuration: each is noted with both values and its time, grouped in words and complete in JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger_client.audit.changes import changes_in_words
from ledger_client.audit.report import audit_in_words
from ledger_client.audit.result import Audit
from ledger_client.formats.record import EXCHANGE, Event
from tests.support.audit_batches import CONFIG, EVERY_MS, OTHER, Gateway, audited, findings, proof_of
from tests.support.evidence import METER

ONCE, TWICE = {"ct": "200/5"}, {"ct": "400/5"}


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    made = Gateway(tmp_path)
    made.chains[METER].facts["ratios"] = ONCE
    return made


def changed(gateway: Gateway, at: str = "change", /, **facts: Any) -> list[bytes]:
    """The event by which a meter has other facts (None: it lacks one) from now on."""
    facts_now = gateway.chains[METER].facts
    facts_now.update({key.replace("_", "-"): fact for key, fact in facts.items()})
    gateway.chains[METER].facts = {key: fact for key, fact in facts_now.items() if fact is not None}
    return [gateway.configuration(at)]


def changes(result: Audit) -> list[tuple[str | None, str, Any, Any]]:
    assert findings(result) == []
    return [(c.meter, c.field, c.before, c.after) for c in result.changes]


def test_ratios_for_a_while_are_noted_with_their_time(gateway: Gateway) -> None:
    paths = [gateway.write(), gateway.write([*changed(gateway, ratios=TWICE), *gateway.usual()])]
    paths.append(gateway.write([*changed(gateway, ratios=ONCE), *gateway.usual()]))
    result = audited(*paths)
    assert changes(result) == [(METER, "ratios", ONCE, TWICE), (METER, "ratios", TWICE, ONCE)]
    first, second = result.as_json()["changes"]
    assert first == {
        "meter": METER, "field": "ratios", "before": ONCE, "after": TWICE, "since": "2026-11-18T09:27:20Z",
        "until": "2026-11-18T09:28:00Z", "exchange": None, "record": f"gateway/{gateway.epoch.hex()}/1", "batch": 1,
        "at": "change",
    }  # fmt: skip
    assert (second["since"], second["until"]) == (first["until"], None)
    assert (
        f"  changed        {METER}, ratios: ct 200/5 until 2026-11-18T09:27:20Z, ct 400/5 until 2026-11-18T09:28:00Z, "
        "then ct 200/5"
    ) in audit_in_words(result)
    assert result.notes == []


@pytest.mark.parametrize(
    ("field", "before", "after"),
    [
        ("role", "main", "auxiliary"),
        ("profile", "meter", "other"),
        ("profile-hash", bytes(32), bytes(31) + b"\1"),
        ("ratios", ONCE, {}),
        ("reversed", False, True),
        ("identity", "serial=1", "serial=2"),
    ],
)
def test_each_field_is_compared(gateway: Gateway, field: str, before: Any, after: Any) -> None:
    gateway.chains[METER].facts["identity"] = "serial=1"
    paths = [
        gateway.write(),
        gateway.write([*changed(gateway, **dict[str, Any]({field: after or None})), *gateway.usual()]),
    ]
    assert changes(audited(*paths)) == [(METER, field, before, after)]


def test_a_change_and_back_within_one_batch_and_at_a_restart(gateway: Gateway) -> None:
    paths = [gateway.write([*gateway.usual(), *changed(gateway, reversed=True), *changed(gateway, reversed=None)])]
    gateway.chains[METER].facts["ratios"] = TWICE
    paths.append(gateway.write([*gateway.restart(1), *gateway.usual()]))
    result = audited(*paths)
    assert changes(result) == [
        (METER, "reversed", False, True),
        (METER, "reversed", True, False),
        (METER, "ratios", ONCE, TWICE),
    ]
    assert [c.at for c in result.changes] == ["change", "change", "start"]


def test_a_change_between_files_is_compared_with_the_last_that_is_known(gateway: Gateway) -> None:
    paths = [
        gateway.write(),
        gateway.write(),
        gateway.write([*changed(gateway, "day", ratios=TWICE), *gateway.usual()]),
    ]
    proof = proof_of(paths[0], "configuration")
    for files in ((paths[0], paths[2]), (proof, paths[0], paths[2]), (proof, paths[2])):
        result = audited(*files)
        assert [(c.field, c.before, c.after) for c in result.changes] == [("ratios", ONCE, TWICE)], files
    late = audited(proof_of(paths[2], "configuration"), gateway.write())
    assert changes(late) == []


def test_another_device_with_and_without_an_exchange(gateway: Gateway) -> None:
    first = gateway.write()
    known = gateway.write([*changed(gateway, "day", identity="serial=1"), *gateway.usual()])  # a first one is no change
    exchange = gateway.chains[METER].add(Event(EXCHANGE, {"identity": "serial=2", "old": "serial=1"}))
    with_one = gateway.write([exchange, *changed(gateway, "day", identity="serial=2"), *gateway.usual()])
    gone = gateway.write([*changed(gateway, "day", identity=None), *gateway.usual()])
    without = gateway.write([*changed(gateway, "day", identity="serial=3"), *gateway.usual()])
    result = audited(first, known, with_one, gone, without)
    assert [(c.before, c.after, c.exchange) for c in result.changes] == [
        ("serial=1", "serial=2", True),
        ("serial=2", None, False),
        (None, "serial=3", False),
    ]
    (line,) = changes_in_words(result.changes)
    assert line.startswith(f"{METER}, identity: serial=1 until ")
    assert line.endswith(
        "none without a meter-exchange until 2026-11-18T09:29:20Z, then serial=3 without a meter-exchange"
    )


def test_a_meter_that_is_added_and_one_that_was_out_with_other_ratios(gateway: Gateway) -> None:
    gateway.chains[OTHER].configured = False
    paths = [gateway.write()]
    paths.append(gateway.write([*gateway.put_in(OTHER, bytes(32)), *gateway.usual()]))
    paths.append(gateway.write([*gateway.polls(1), *gateway.take_out(METER, CONFIG), *gateway.usual()]))
    gateway.chains[METER].facts["ratios"] = TWICE
    paths.append(gateway.write([*gateway.put_in(METER, bytes(32)), *gateway.usual()]))
    result = audited(*paths)
    assert [one for one in changes(result) if one[1] != "config"] == [
        (OTHER, "configured", False, True),
        (METER, "configured", True, False),
        (METER, "configured", False, True),
        (METER, "ratios", ONCE, TWICE),
    ]
    assert len([c for c in result.changes if c.field == "config"]) == 3
    assert f"{OTHER}, configured: out of the configuration, where nothing is due, until " in "\n".join(
        changes_in_words(result.changes)
    )


def test_another_period_is_a_change(gateway: Gateway) -> None:
    first, chain = gateway.write(), gateway.chains[METER]
    chain.period_ms, begins_ms = 2 * EVERY_MS, chain.due_ms - 1 + EVERY_MS
    gateway.clock.now_ms = begins_ms
    chain.grids += [(chain.due_ms, 0), (begins_ms, 2 * EVERY_MS)]
    result = audited(first, gateway.write([gateway.configuration("change"), *gateway.usual(4)]))
    assert changes(result) == [(METER, "period", EVERY_MS, 2 * EVERY_MS)]
    (line,) = changes_in_words(result.changes)
    assert line.startswith(f"{METER}, period: 10 s until ")
    assert line.endswith(", then 20 s")


def test_words_of_values_that_look_alike_differ(gateway: Gateway) -> None:
    paths = [gateway.write(), gateway.write([*changed(gateway, role="m\u0430in"), *gateway.usual()])]
    gateway.chains[METER].facts["profile"] = "x" * 250 + "a"
    paths.append(gateway.write([gateway.configuration("day"), *gateway.usual()]))
    paths.append(gateway.write([*changed(gateway, profile="x" * 250 + "b"), *gateway.usual()]))
    lines = [*changes_in_words(audited(*paths).changes)]
    assert "xxa until 2026-11-18T09:28:40Z, then xx" in lines[0]
    assert lines[0].endswith("xxb")
    assert lines[1].endswith(r", then m\u0430in")


def test_many_changes_are_one_line_and_all_stand_in_the_json(gateway: Gateway) -> None:
    first = gateway.write()
    rows = [row for n in range(120) for row in changed(gateway, ratios=ONCE if n % 2 else TWICE)]
    result = audited(first, gateway.write([*rows, *gateway.usual()]))
    assert len(result.as_json()["changes"]) == 120
    (line,) = changes_in_words(result.changes)
    assert line.endswith(", and 114 changes more: --json has all")


@pytest.mark.parametrize(
    ("fact", "value"),
    [("ratios", {"ct": 40}), ("reversed", False), ("series", 1), ("role", "a\nb"), ("Ratios", TWICE), ("identity", "")],
)
def test_a_field_that_cannot_be_compared_is_found(gateway: Gateway, fact: str, value: Any) -> None:
    first = gateway.write()
    gateway.chains[METER].facts[fact] = value
    result = audited(first, gateway.write([gateway.configuration("day"), *gateway.usual()]))
    assert findings(result) == [(1, f"gateway/{gateway.epoch.hex()}/1", "parse")]
