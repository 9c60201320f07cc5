"""Audits of what was due: it is counted again by the grids that events announce, and each key is introduced."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger_client.formats.record import Event
from ledger_client.recording_grid import due_by
from ledger_client.verification.trust_text import key_entry
from tests.support.audit_batches import EVERY_MS, OTHER, Gateway, audited, findings, proof_of, trusted
from tests.support.evidence import EPOCH, GATEWAY, METER, VALID_FROM, key


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def name(seq: int, meter: str = METER, epoch: bytes = EPOCH) -> str:
    return f"{meter}/{epoch.hex()}/{seq}"


def test_due_polls_that_are_halved_are_found_with_both_numbers(gateway: Gateway) -> None:
    first = gateway.write()
    rows = []
    for _ in range(4):
        gateway.clock.passes(EVERY_MS)  # nothing is polled
        rows += gateway.polls(1)
    result = audited(first, gateway.write([*rows, *gateway.cut()]))
    assert {f[2] for f in findings(result)} == {"due"}
    assert result.findings[0].detail == (
        "it says that 4 polls were due from 2026-11-18T09:27:10.001Z to 2026-11-18T09:28:30.001Z; by the announced "
        "grids 8 were"
    )


def test_thinning_is_counted_and_told(gateway: Gateway) -> None:
    paths = [
        gateway.write(),
        gateway.write([*gateway.polls(2), *gateway.thin(3), *gateway.polls(7), *gateway.cut()]),
        gateway.write([*gateway.polls(6), *gateway.thin(1), *gateway.usual()]),
    ]
    result = audited(*paths)
    assert findings(result) == []
    assert [note.split(": ")[1].split(",")[0] for note in result.notes] == [
        "every 3. poll is recorded from here on",
        "every poll is recorded again",
    ]


@pytest.mark.parametrize(("factor", "step"), [(1, 2 * EVERY_MS), (3, 2 * EVERY_MS), (1, EVERY_MS * 9 // 10)])
def test_a_grid_is_as_far_apart_as_period_and_thinning_say(gateway: Gateway, factor: int, step: int) -> None:
    first, rows, grids = gateway.write(), gateway.cut(), gateway.new_grids(factor)
    grids[METER][1][1] = step
    rows.append(gateway.event("recording-period", factor=factor, grids=grids))
    result = audited(first, gateway.write([*rows, *gateway.cut()]))
    assert findings(result) == [(1, name(1, "gateway"), "due")]
    assert f"a grid of meter {METER} is {step} ms apart" in result.findings[0].detail


def test_between_two_grids_there_is_no_free_time(gateway: Gateway) -> None:
    first, chain = gateway.write(), gateway.chains[METER]
    begins_ms = gateway.clock.now_ms + 60_000
    grids = [(chain.due_ms, 0), (begins_ms, EVERY_MS)]
    chain.grids += grids
    event = gateway.event("schedule", grids={METER: [list(grid) for grid in grids]})
    result = audited(first, gateway.write([event, *gateway.polls(12), *gateway.cut()]))
    assert findings(result) == [(1, name(1, "gateway"), "due")]
    assert "nothing would be due of meter export-main" in result.findings[0].detail


def test_a_grid_that_ends_has_one_behind_it_while_its_meter_is_configured(gateway: Gateway) -> None:
    first, chain = gateway.write(), gateway.chains[METER]
    chain.grids.append((chain.due_ms, 0))
    event = gateway.event("schedule", grids={METER: [[chain.due_ms, 0]]})
    result = audited(first, gateway.write([event, *gateway.cut()]))
    assert "nothing is due any more of meter export-main, and it is configured" in {f.detail for f in result.findings}


def test_downtime_counts_by_the_grid_left(gateway: Gateway) -> None:
    first, rows = gateway.write(), gateway.polls(2)
    rows += gateway.restart(1, stopped_ms=95_003)
    result = audited(first, gateway.write([*rows, *gateway.usual()]))
    assert findings(result) == []
    assert result.meters[METER].missed["stopped"] == 10
    too_few = Gateway(gateway.folder)
    first, rows = too_few.write(), too_few.polls(2)
    chain = too_few.chains[METER]
    chain.grids = [(begins, 2 * period) for begins, period in chain.grids]
    result = audited(first, too_few.write([*rows, *too_few.restart(1, stopped_ms=95_003), *too_few.usual()]))
    never_announced = 1, name(0, "gateway", too_few.epoch), "due"  # and it begins where polls are counted already
    assert findings(result) == [never_announced, never_announced]


def undated(gateway: Gateway, *, off: int = 0, dated: bool = True) -> list[Path]:
    """A restart without a clock after 200 s, and the event that dates it; ``off``: what that says too much."""
    paths, chain = [gateway.write()], gateway.chains[METER]
    rows = gateway.polls(2)
    before = {meter: (list(c.grids), c.covered_to_ms or 0, c.since) for meter, c in gateway.chains.items()}
    rows += gateway.restart(1, stopped_ms=200_000, letter="U", jump_ms=-199_500)
    assert chain.missed.total() == 0
    rows += gateway.polls(3)
    jump_ms = 199_500
    if not dated:
        return [*paths, gateway.write([*rows, *gateway.cut()])]
    began_ms = gateway.clock.now_ms + jump_ms - gateway.clock.up_ms
    stopped = {m: due_by(g, from_ms, began_ms) - since + off for m, (g, from_ms, since) in before.items()}
    rows += gateway.correct(jump_ms, began=began_ms, stopped=stopped)
    gateway.clock.letter = "S"
    return [*paths, gateway.write([*rows, *gateway.usual()]), gateway.write()]


def test_an_epoch_without_a_clock_is_counted_by_the_event_that_dates_it(gateway: Gateway) -> None:
    result = audited(*undated(gateway))
    assert findings(result) == []
    assert result.meters[METER].missed["stopped"] == 20
    assert result.notes == []
    assert result.notes == []


def test_what_the_event_says_of_the_time_without_a_clock_is_counted_again(gateway: Gateway) -> None:
    result = audited(*undated(gateway, off=-10))
    assert findings(result) == [(1, name(1, "gateway", gateway.epoch), "due")] * 2
    assert "it says that 10 polls of export-main were due before its epoch; by the announced grids 20" in (
        result.findings[0].detail
    )


def test_an_epoch_whose_clock_is_known_is_dated_by_an_event(gateway: Gateway) -> None:
    paths = undated(gateway, dated=False)
    gateway.clock.letter = "S"
    result = audited(*paths, gateway.write())
    assert findings(result) == [(2, name(0, meter, gateway.epoch), "due") for meter in (METER, OTHER)]
    assert "its clock is known now, and no clock event dates it" in result.findings[0].detail


def test_an_epoch_that_is_never_dated_is_noted(gateway: Gateway) -> None:
    result = audited(*undated(gateway, dated=False))
    assert findings(result) == []
    assert [note.split(": ")[0] for note in result.notes] == [name(0, m, gateway.epoch) for m in (METER, OTHER)]


# — where the files begin —


def test_what_was_due_before_the_first_configuration_is_asked_for(gateway: Gateway) -> None:
    paths = [gateway.write() for _ in range(4)]
    result = audited(*paths[2:])
    assert findings(result) == [(2, None, "due")]
    assert "give earlier batches, or the proofs (.mseal)" in result.findings[0].detail


def test_the_proof_of_the_configuration_event_will_do(gateway: Gateway) -> None:
    paths = [gateway.write() for _ in range(4)]
    proof = proof_of(paths[0], "configuration")
    assert findings(audited(proof, *paths[2:])) == []
    assert findings(audited(*paths[2:], proof)) == []
    data = bytearray(proof.read_bytes())
    data[200] ^= 1
    proof.write_bytes(data)
    assert {f[2] for f in findings(audited(proof, *paths[2:]))} >= {"due"}


def test_of_several_proofs_the_newest_configuration_counts(gateway: Gateway) -> None:
    """Between two of them there may have been a thinning of which no proof is given."""
    paths = [gateway.write(), gateway.write([*gateway.polls(2), *gateway.thin(3), *gateway.polls(7), *gateway.cut()])]
    paths.append(gateway.write([gateway.configuration("day"), *gateway.polls(6), *gateway.cut()]))
    paths.append(gateway.write([*gateway.polls(6), *gateway.cut()]))
    old, new = (proof_of(paths[batch], "configuration") for batch in (0, 2))
    for proofs in ((new,), (old, new), (new, old, new)):
        result = audited(*proofs, paths[3])
        assert findings(result) == []
        assert "the files begin where every 3. poll is recorded" in result.notes
    assert findings(audited(old, paths[3])) != []


def test_the_proof_of_another_configuration_will_not_do(gateway: Gateway) -> None:
    paths = [gateway.write(), gateway.write([*gateway.polls(2), *gateway.take_out(OTHER, bytes(32))]), gateway.write()]
    found = findings(audited(proof_of(paths[0], "configuration"), paths[2]))
    assert (2, None, "due") in found
    assert findings(audited(proof_of(paths[1], "configuration"), paths[2])) == []


def test_a_proof_that_says_nothing_of_what_was_due_is_noted(gateway: Gateway) -> None:
    path = gateway.write([*gateway.usual(), gateway.event("start")])
    proof = proof_of(path, "start")
    result = audited(path, proof)
    assert (findings(result), result.notes) == (
        [],
        [f"{proof}: a proof that says nothing of what was due; it verifies"],
    )


# — configuration —


def test_parts_of_a_configuration_are_complete(gateway: Gateway) -> None:
    first = gateway.write()
    both = [gateway.configuration("day", [m], part=[n, 2]) for n, m in enumerate((METER, OTHER), 1)]
    whole = gateway.write(both)
    assert [f for f in findings(audited(first, whole)) if f[2] == "due"] == []
    half = gateway.write([gateway.configuration("day", part=[1, 2]), *gateway.usual()])
    last = gateway.write([gateway.configuration("day", part=[2, 2]), *gateway.usual()])
    found = audited(first, whole, half, last).findings
    assert [f.batch for f in found if "ends with part" in f.detail] == [2, 3]


def test_a_meter_stands_in_one_part_of_a_configuration(gateway: Gateway) -> None:
    """Else two readers may take another one of two."""
    first = gateway.write()
    twice = [gateway.configuration("day", only, part=[n, 2]) for n, only in enumerate(([], [OTHER]), 1)]
    result = audited(first, gateway.write([*twice, *gateway.usual()]))
    assert findings(result) == [(1, name(2, "gateway"), "due")]
    assert result.findings[0].detail == f"meter {OTHER} stands in 2 parts of the configuration event"


def test_a_statement_is_of_the_configuration_in_force(gateway: Gateway) -> None:
    assert findings(audited(gateway.write(), gateway.write(config=bytes(32)))) == [(1, None, "due")]


def test_a_period_does_not_change_silently(gateway: Gateway) -> None:
    first, chain = gateway.write(), gateway.chains[METER]
    chain.period_ms *= 2
    result = audited(first, gateway.write([gateway.configuration("change"), *gateway.usual()]))
    assert findings(result) == [(1, name(1, "gateway"), "due")]
    assert "its period and the thinning say 20000 ms" in result.findings[0].detail


@pytest.mark.parametrize("wrong", [{"part": [0, 1]}, {"at": "now"}, {"config": b"x"}, {"meters": 1}, {"grids": [1]}])
def test_an_event_that_cannot_be_counted_by_is_found(gateway: Gateway, wrong: dict[str, object]) -> None:
    first = gateway.write()
    result = audited(first, gateway.write([gateway.configuration("day", **wrong), *gateway.usual()]))
    assert findings(result) == [(1, name(1, "gateway"), "parse")]


# — keys —


def test_a_key_is_introduced_before_it_signs(gateway: Gateway) -> None:
    first, chain = gateway.write(), gateway.chains[METER]
    new = key("export-main, the next")
    by = trusted(extra=key_entry("meter", new.public, VALID_FROM, gateway=GATEWAY, meter=METER))
    row = chain.add(Event("commissioned", {}), new)
    keys_event = gateway.event("keys", owner=METER, key=new.public.kid, before=key("meter").public.kid)
    assert findings(audited(first, gateway.write([row, keys_event, *gateway.usual()]), by=by)) == []
    quiet = Gateway(gateway.folder)
    first, chain = quiet.write(), quiet.chains[METER]
    row = chain.add(Event("commissioned", {}), new)
    result = audited(first, quiet.write([row, *quiet.usual()]), by=by)
    assert findings(result) == [(1, None, "keys")]
    assert "stands in no configuration or keys event" in result.findings[0].detail


def test_a_meter_that_no_configuration_knows_is_found(gateway: Gateway) -> None:
    first = gateway.write()
    stranger = Gateway(gateway.folder, periods_ms={"third": EVERY_MS}, clock=gateway.clock)
    rows = [*stranger.start()[1:], *gateway.usual()]
    by = trusted(extra=key_entry("meter", key("third").public, VALID_FROM, gateway=GATEWAY, meter="third"))
    found = findings(audited(first, gateway.write(rows), by=by))
    assert {f[2] for f in found} == {"keys", "due"}
