"""The uplink on a ledger that settles late: many batches on their way, each state durable, dropped blocks, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.anchoring import refusals, uplink
from gateway.anchoring.driver_notes import Notes
from gateway.anchoring.ledger_alarms import LedgerAlarms
from gateway.anchoring.uplink import Uplink
from gateway.clock import Clock
from gateway.config.ledger import Contract
from gateway.config.model import Config
from gateway.errors import StoreError
from gateway.evidence.prove import find, prove
from gateway.recording.recorder import Recorder
from gateway.storage.database import Database
from gateway.storage.writer import Direct
from ledger_client.errors import PolicyNotMet, Refused
from ledger_client.formats.bundle import Bundle
from ledger_client.transparency.ledger.admission import (
    BAD_SIGNATURE,
    KEY_NOT_VALID,
    MALFORMED,
    NOT_YET,
    OUT_OF_ORDER,
    TAKEN,
    UNKNOWN_KEY,
)
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.verify import verify
from tests.gateway.anchoring.small_chain import CHAIN, CONTRACT, SmallChain
from tests.support.books import check_books, open_alarms
from tests.support.samples import Ahead, finished, recorder, site

NAME, BATCHES = "demo-ledger", 6
ALL = list(range(BATCHES))


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "FIRST_PAUSE_S", 0.01)


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site")


@pytest.fixture
def sealed(loaded: Config) -> Iterator[Recorder]:
    clock = Ahead()
    made, anchor_ms = recorder(loaded, clock, seal_count=1)
    made.start()
    for k in ALL:
        clock.ahead_s = 10 * k
        made.put(finished("export-main", anchor_ms + 10_000 * k, clock))
    while made.call(lambda store: len(store.batches.all())).result(timeout=30) < BATCHES:
        pass  # one is sealed after each call
    yield made
    made.stop()


@pytest.fixture
def chain(sealed: Recorder) -> SmallChain:
    return SmallChain(NAME, Notes(NAME, sealed))


class Look:
    """The database as another process sees it."""

    def __init__(self, loaded: Config) -> None:
        self.store = Database(loaded.database, read_only=True)

    def states(self) -> list[str]:
        """Of the first batches: what happens meanwhile is an event, and soon a batch of its own."""
        return [anchor.state for anchor in self.store.anchors.of()][:BATCHES]

    def all(self, state: str) -> Callable[[], bool]:
        return lambda: self.states() == [state] * BATCHES


@pytest.fixture
def look(sealed: Recorder, loaded: Config) -> Iterator[Look]:
    made = Look(loaded)
    yield made
    made.store.close()


def work(chain: SmallChain, made: Recorder, loaded: Config, *steps: Callable[[], object]) -> None:
    """Let an uplink work: each step is waited for until it is true."""

    async def run() -> None:
        alarms, contract = LedgerAlarms(made), Contract(CHAIN, CONTRACT)
        up = Uplink(chain, made, load_trust(loaded.trust), Clock(), alarms=alarms, contract=contract)
        task = asyncio.create_task(up.run())
        async with asyncio.timeout(30):
            for step in steps:
                while not step():
                    assert not task.done()
                    await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def then(act: Callable[[], object]) -> Callable[[], bool]:
    """A step that does something."""
    return lambda: (act(), True)[1]


def given(chain: SmallChain, batches: list[int]) -> Callable[[], bool]:
    """The chain has been given these, in this order."""
    return lambda: chain.submitted[: len(batches)] == batches


def test_a_chain_is_given_all_batches_in_order_before_it_has_settled_one(
    chain: SmallChain, sealed: Recorder, loaded: Config, look: Look
) -> None:
    work(
        chain, sealed, loaded,
        given(chain, ALL), look.all("submitted"), then(chain.mine), look.all("included"), then(chain.finalise),
        look.all("settled"),
    )  # fmt: skip
    assert chain.submitted == ALL
    assert chain.held() == ALL
    check_books(loaded)


class Witness(Notes):
    """Looks, while the ledger is being given something, what another process would find if this one died now."""

    def __init__(self, recorder: Recorder, loaded: Config) -> None:
        super().__init__(NAME, recorder)
        self._loaded = loaded
        self.found: list[str] = []

    def keep(self, statement_id: bytes, note: bytes) -> None:
        look = Look(self._loaded)
        self.found.append(look.states()[int.from_bytes(note, "big")])
        look.store.close()


def test_a_state_is_durable_before_a_ledger_hears_of_the_batch(
    chain: SmallChain, sealed: Recorder, loaded: Config
) -> None:
    chain.memory = witness = Witness(sealed, loaded)
    work(chain, sealed, loaded, given(chain, ALL))
    assert witness.found == ["submitted"] * BATCHES


def test_no_more_than_so_many_are_on_their_way(
    chain: SmallChain, sealed: Recorder, loaded: Config, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "IN_FLIGHT", 4)
    work(
        chain,
        sealed,
        loaded,
        lambda: chain.submitted == [0, 1, 2, 3],
        then(chain.mine),
        lambda: "queued" in look.states(),
    )
    assert look.states()[4:] == ["queued"] * 2
    assert chain.submitted == [0, 1, 2, 3]


def test_what_a_chain_drops_is_submitted_again_in_order(
    chain: SmallChain, sealed: Recorder, loaded: Config, look: Look
) -> None:
    work(
        chain, sealed, loaded,
        given(chain, ALL), then(chain.mine), look.all("included"), then(chain.drop), given(chain, ALL * 2),
        then(chain.mine), look.all("included"), then(chain.finalise), look.all("settled"),
    )  # fmt: skip
    assert chain.submitted == ALL * 2
    assert chain.held() == ALL
    check_books(loaded)


def test_a_new_process_finds_what_is_on_its_way_and_its_notes(
    chain: SmallChain, sealed: Recorder, loaded: Config, look: Look
) -> None:
    work(chain, sealed, loaded, given(chain, ALL))
    notes = Notes(NAME, sealed)
    ids = [batch.statement_id for batch in look.store.batches.all()]
    assert notes.notes() == {id_: n.to_bytes(8, "big") for n, id_ in enumerate(ids)}
    work(chain, sealed, loaded, then(chain.mine), then(chain.finalise), look.all("settled"))
    assert chain.submitted == ALL
    assert notes.notes() == {}
    check_books(loaded)


def test_a_place_on_another_contract_settles_nothing(
    chain: SmallChain, sealed: Recorder, loaded: Config, look: Look
) -> None:
    chain.contract = bytes(20)
    work(
        chain, sealed, loaded,
        given(chain, ALL), then(chain.mine), then(chain.finalise), lambda: "refused" in look.states(),
    )  # fmt: skip
    stuck = look.store.anchors.first_refused(NAME)
    assert stuck is not None
    assert f"contract 0x{bytes(20).hex()}; configured are" in str(stuck.detail)
    assert "settled" not in look.states()


def test_a_place_goes_into_the_bundle_and_counts_for_nothing_offline(
    chain: SmallChain, sealed: Recorder, loaded: Config, look: Look
) -> None:
    work(chain, sealed, loaded, given(chain, ALL), then(chain.mine), then(chain.finalise), look.all("settled"))
    bundle = prove(look.store, find(look.store, "export-main"))
    (place,) = Bundle.parse(bundle).anchors
    assert (place.ledger, place.chain, place.contract) == (NAME, CHAIN, CONTRACT)
    with pytest.raises(PolicyNotMet):
        verify(bundle, load_trust(loaded.trust), 1 << 40)


def test_nothing_is_submitted_behind_a_refused_batch_and_the_alarm_says_what_to_do(
    chain: SmallChain, sealed: Recorder, loaded: Config, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "FIRST_PAUSE_S", 0.05)
    chain.refuses = {2}
    expected = ["settled", "settled", "refused", "queued", "queued", "queued"]
    texts: list[str] = []

    def alarms() -> list[str]:
        return [alarm["text"] for alarm in open_alarms(look.store)]

    work(
        chain, sealed, loaded,
        lambda: look.states()[2] == "refused", then(chain.mine), then(chain.finalise),
        lambda: look.states() == expected,
        alarms, then(lambda: texts.extend(alarms())), then(chain.refuses.clear),
        given(chain, ALL), then(chain.mine), then(chain.finalise),
        look.all("settled"),
        lambda: not alarms(),
    )  # fmt: skip
    assert texts == [
        f"ledger {NAME}, batch 2: refused: Unknown key: no such account; "
        "fix: have the ledger's operator enrol keys/gateway.enrol (`meterseal-ledger enroll LDIR FILE`)"
    ]
    assert chain.submitted[:BATCHES] == ALL
    check_books(loaded)


def test_what_is_refused_behind_a_refused_batch_waits_for_that_one_alone(
    chain: SmallChain, sealed: Recorder, loaded: Config, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that has lost a batch refuses all that are on their way behind it: one of them is asked about."""
    monkeypatch.setattr(refusals, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(uplink, "LONGEST_PAUSE_S", 3600.0)  # for those behind: they do not wait for that
    refused: list[int] = []
    work(
        chain, sealed, loaded,
        given(chain, ALL), then(lambda: chain.disowns.update(ALL[2:])), lambda: look.states()[2] == "refused",
        lambda: chain.disowned >= 8, then(lambda: refused.append(look.states().count("refused"))),
        then(chain.disowns.clear), look.all("submitted"), then(chain.mine), then(chain.finalise), look.all("settled"),
    )  # fmt: skip
    assert refused[0] <= 2  # one that was asked about just before the first of them
    assert chain.submitted[:BATCHES] == ALL
    check_books(loaded)


def test_every_title_of_the_embedded_ledger_has_its_own_way_out() -> None:
    titles = [
        MALFORMED, BAD_SIGNATURE, UNKNOWN_KEY, KEY_NOT_VALID, TAKEN,
        OUT_OF_ORDER, NOT_YET,
    ]  # fmt: skip
    ways = {refusals.refusal(Refused(title)).way_out for title in [*titles, "something new"]}
    assert len(ways) == len(titles) + 1
    assert "" not in ways


def test_pauses_grow_to_an_hour_and_what_cannot_succeed_waits_an_hour_at_once() -> None:
    for times in range(1, 40):
        longest = min(3600, 30 * 2 ** (times - 1))
        assert longest / 2 <= refusals.pause_s(Refused(UNKNOWN_KEY, ""), times) <= longest
        assert refusals.doubt_s(times) <= min(3600, 0.5 * 2 ** (times - 1))
        for title in (TAKEN, BAD_SIGNATURE, MALFORMED):
            assert 1800 <= refusals.pause_s(Refused(title, ""), times) <= 3600


def test_what_comes_too_early_is_given_again_when_its_time_has_come() -> None:
    """By the ledger's clock; a refusal is not signed, so at least once an hour, and never at once without end."""
    for asked_s, least, most in (
        ({"at": 1_700_000_042, "now": 1_700_000_000}, 42, 42),
        ({"at": 1_800_000_000, "now": 1_700_000_000}, 3600, 3600),
        ({"at": 1_700_000_000, "now": 1_700_000_000}, 15, 30),
        ({"at": "soon"}, 15, 30),
    ):
        assert least <= refusals.pause_s(Refused(NOT_YET, "", asked_s), 1) <= most


def test_a_note_outlives_its_process_and_a_newer_one_replaces_it(loaded: Config, look: Look) -> None:
    id_ = look.store.batches.all()[0].statement_id
    for note in (b"first", b"second"):
        store = Database(loaded.database)
        Notes(NAME, Direct(store)).keep(id_, note)
        Notes("another", Direct(store)).keep(id_, b"its own")
        store.close()
    store = Database(loaded.database)
    notes = Notes(NAME, Direct(store))
    assert (notes.recall(id_), notes.recall(bytes(32)), dict(notes.notes())) == (b"second", None, {id_: b"second"})
    store.close()


def test_whoever_asks_a_stopped_writer_is_told_so(loaded: Config) -> None:
    made, _ = recorder(loaded, Clock())
    waiting = made.call(lambda _: None)  # never started
    made.stop()
    for future in (waiting, made.call(lambda _: None)):
        with pytest.raises(StoreError, match="the gateway has stopped"):
            future.result(timeout=30)
