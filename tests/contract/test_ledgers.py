"""What every driver must do, against a real ledger, over a real wire, and with faults on it.

One suite for all kinds of ledgers (``stands.STANDS``). After every step the ledger's own log is checked as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count

import pytest

from gateway.evidence.settlement import NotOurs
from ledger_client.errors import LedgerUnavailable, Refused, Unsupported
from ledger_client.formats.cose_key import ES256
from ledger_client.formats.statement import Range, attach_receipts, statement_id
from ledger_client.ledgers.interface import Ledger, Notebook, Pending
from ledger_client.transparency.ledger.admission import BAD_SIGNATURE, KEY_NOT_VALID, OUT_OF_ORDER, TAKEN, UNKNOWN_KEY
from ledger_client.verification.vouching import check_receipt
from tests.contract.faults import FAULTS, KEPT, LATE, LOST, NEVER
from tests.contract.stands import IMPATIENT_S, KEYED, STANDS, KeyedStand, Stand
from tests.support.enrolled import EPOCH, Gateway
from tests.support.ledger_site import again_while_unavailable

_numbers = count(1)


@pytest.fixture(scope="module", params=STANDS)
def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with ExitStack() as stack:
        yield STANDS[request.param](tmp_path_factory.mktemp(request.param), stack)


@pytest.fixture(autouse=True)
def no_faults_left(stand: Stand) -> Iterator[None]:
    yield
    stand.faults.set()


@pytest.fixture
def gateway(stand: Stand) -> Gateway:
    return stand.enroll(Gateway(f"gw-{next(_numbers)}"))


@pytest.fixture
def ledger(stand: Stand, gateway: Gateway) -> Iterator[Ledger]:
    with stand.driver(gateway.name) as driver:
        yield driver


keyed = pytest.mark.parametrize("stand", KEYED, indirect=True, scope="module")
"""For what a ledger can do only if it knows the gateways' keys."""


def settle(stand: Stand, ledger: Ledger, entry: bytes) -> bytes:
    """Anchor as a gateway does, until a receipt holds: look up, else submit, and again."""

    def attempt() -> bytes:
        answer = ledger.lookup(statement_id(entry)) or ledger.submit(entry)
        if isinstance(answer, Pending):
            raise LedgerUnavailable("not yet")
        try:
            stand.demand(entry, answer)
        except NotOurs as error:
            raise LedgerUnavailable(f"not settled: {error}") from None
        return answer

    return again_while_unavailable(attempt)


def refused(ledger: Ledger, entry: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        again_while_unavailable(lambda: ledger.submit(entry))
    return caught.value


def refusal(stand: Stand, ledger: Ledger, gateway: Gateway, entry: bytes) -> str:
    """The title with which an entry is refused; offering it again changes nothing, and nothing enters the log."""
    titles, before = set(), stand.held(gateway.name)
    for _ in range(2):
        error = refused(ledger, entry)
        assert error.detail
        titles.add(error.title)
    assert stand.held(gateway.name) == before
    (title,) = titles
    return title


def test_what_settles_a_statement_stays_the_first(stand: Stand, ledger: Ledger, gateway: Gateway) -> None:
    entry = gateway.statement(0)
    receipt = settle(stand, ledger, entry)
    assert stand.held(gateway.name) == [0]
    assert ledger.submit(entry) == receipt
    assert ledger.lookup(statement_id(entry)) in (receipt, None)  # over MQTT it is told once
    assert stand.held(gateway.name) == [0]
    settle(stand, ledger, gateway.statement(1))
    assert ledger.submit(entry) == receipt
    assert stand.held(gateway.name) == [0, 1]


@keyed
def test_a_receipt_says_when(stand: KeyedStand, ledger: Ledger, gateway: Gateway) -> None:
    entry, before = gateway.statement(0), int(time.time())
    receipt = settle(stand, ledger, entry)
    issuer, issued = check_receipt(entry, receipt, stand.place.trust(), int(time.time()))
    assert issuer == stand.place.name == ledger.name
    assert before <= issued <= time.time()


def test_an_id_that_nobody_submitted_is_unknown(ledger: Ledger) -> None:
    assert ledger.lookup(bytes(32)) is None


def test_a_key_on_p256_is_as_good(stand: Stand) -> None:
    gateway = stand.enroll(Gateway(f"gw-{next(_numbers)}", ES256))
    with stand.driver(gateway.name) as ledger:
        settle(stand, ledger, gateway.statement(0))
    assert stand.held(gateway.name) == [0]


def test_another_statement_for_a_taken_number_is_refused_for_ever(
    stand: Stand, ledger: Ledger, gateway: Gateway
) -> None:
    receipt = settle(stand, ledger, gateway.statement(0))
    assert refusal(stand, ledger, gateway, gateway.sign(0, None, mark=1)) == stand.title(TAKEN)
    settle(stand, ledger, gateway.statement(1))
    assert refusal(stand, ledger, gateway, gateway.sign(0, None, mark=1)) == stand.title(TAKEN)
    twin = gateway.sign(1, statement_id(gateway.statement(0)), mark=1)
    assert refusal(stand, ledger, gateway, twin) == stand.title(TAKEN)
    assert refusal(stand, ledger, gateway, gateway.sign(1, bytes(32), mark=2, resume="disk lost")) == stand.title(TAKEN)
    assert ledger.submit(gateway.statement(0)) == receipt
    assert stand.held(gateway.name) == [0, 1]


def test_batches_come_in_order(stand: Stand, ledger: Ledger, gateway: Gateway) -> None:
    settle(stand, ledger, gateway.statement(0))
    assert refusal(stand, ledger, gateway, gateway.statement(2)) == stand.title(OUT_OF_ORDER)
    assert refusal(stand, ledger, gateway, gateway.sign(1, bytes(32))) == stand.title(OUT_OF_ORDER)
    settle(stand, ledger, gateway.statement(1))
    settle(stand, ledger, gateway.statement(2))  # what was refused for its place only is taken in its place
    assert stand.held(gateway.name) == [0, 1, 2]


def test_the_first_statement_is_taken_at_any_number(stand: Stand, ledger: Ledger, gateway: Gateway) -> None:
    settle(stand, ledger, gateway.statement(7))
    settle(stand, ledger, gateway.statement(8))
    assert refusal(stand, ledger, gateway, gateway.statement(3)) == stand.title(OUT_OF_ORDER)
    assert refusal(stand, ledger, gateway, gateway.statement(10)) == stand.title(OUT_OF_ORDER)
    assert stand.held(gateway.name) == [7, 8]


def test_resume_is_taken_above_the_last_and_nowhere_else(stand: Stand, ledger: Ledger, gateway: Gateway) -> None:
    settle(stand, ledger, gateway.statement(0))
    resumed = gateway.sign(5, bytes(32), resume="storage lost")
    settle(stand, ledger, resumed)
    late = gateway.sign(3, bytes(32), resume="storage lost")
    assert refusal(stand, ledger, gateway, late) == stand.title(OUT_OF_ORDER)
    settle(stand, ledger, gateway.sign(6, statement_id(resumed)))
    assert stand.held(gateway.name) == [0, 5, 6]


def test_a_stranger_is_refused_until_he_is_enrolled(stand: Stand) -> None:
    stranger = Gateway(f"gw-{next(_numbers)}")
    with stand.driver(stranger.name) as ledger:
        assert refusal(stand, ledger, stranger, stranger.statement(0)) == stand.title(UNKNOWN_KEY)
        stand.enroll(stranger)
        settle(stand, ledger, stranger.statement(0))
    assert stand.held(stranger.name) == [0]


@keyed
def test_a_number_is_registered_once_and_the_refusal_says_what_is_held(
    stand: Stand, ledger: Ledger, gateway: Gateway
) -> None:
    for batch in (0, 1):
        settle(stand, ledger, gateway.statement(batch))
    last, held_range = statement_id(gateway.statement(1)), ["export-main", EPOCH, 19, 1]
    for first, resume in ((19, None), (19, "storage lost"), (0, "storage lost"), (21, None)):
        twin = gateway.sign(2, last, resume=resume, meters={"export-main": (Range(EPOCH, first, 29),)})
        refusal = refused(ledger, twin)
        assert refusal.title == stand.title(OUT_OF_ORDER)
        assert refusal.more == {"held": {"id": last, "batch": 1, "ranges": [held_range]}}
    settle(stand, ledger, gateway.statement(2))
    assert stand.held(gateway.name) == [0, 1, 2]


@keyed
def test_one_gateway_cannot_speak_for_another(stand: Stand, ledger: Ledger, gateway: Gateway) -> None:
    thief = Gateway(gateway.name)
    assert refusal(stand, ledger, gateway, thief.statement(0)) == stand.title(UNKNOWN_KEY)
    thief.name = f"gw-{next(_numbers)}"
    stand.enroll(thief)
    thief.name = gateway.name
    assert refusal(stand, ledger, gateway, thief.sign(0, None)) == stand.title(UNKNOWN_KEY)
    assert stand.held(gateway.name) == []


@keyed
def test_a_forged_signature_is_refused(stand: Stand, ledger: Ledger, gateway: Gateway) -> None:
    entry = gateway.statement(0)
    forged = entry[:-40] + bytes([entry[-40] ^ 1]) + entry[-39:]
    assert refusal(stand, ledger, gateway, forged) == stand.title(BAD_SIGNATURE)
    assert stand.held(gateway.name) == []


@keyed
@pytest.mark.parametrize(
    "validity",
    [
        pytest.param((0, "revoked = 2026-01-01T00:00:00Z\nrevoked_reason = 'stolen'\n"), id="revoked"),
        pytest.param((0, "valid_to = 2026-01-01T00:00:00Z\n"), id="expired"),
        pytest.param((4_000_000_000, ""), id="not yet valid"),
    ],
)
def test_a_key_counts_only_while_it_is_valid(stand: KeyedStand, ledger: Ledger, validity: tuple[int, str]) -> None:
    gateway = stand.enroll(Gateway(f"gw-{next(_numbers)}"), valid_from=validity[0], extra=validity[1])
    assert refusal(stand, ledger, gateway, gateway.statement(0)) == stand.title(KEY_NOT_VALID)
    assert stand.held(gateway.name) == []


def test_revoking_stops_the_next_statement_and_takes_back_none(stand: Stand, ledger: Ledger, gateway: Gateway) -> None:
    receipt = settle(stand, ledger, gateway.statement(0))
    with stand.revoked(gateway):
        assert refusal(stand, ledger, gateway, gateway.statement(1)) == stand.title(KEY_NOT_VALID)
        assert ledger.submit(gateway.statement(0)) == receipt
    with stand.driver(gateway.name) as anew:
        settle(stand, anew, gateway.statement(1))
    assert stand.held(gateway.name) == [0, 1]


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_becomes_of_its_answers_each_statement_is_there_once(
    stand: Stand, gateway: Gateway, fault: str
) -> None:
    with stand.driver(gateway.name, timeout_s=IMPATIENT_S) as ledger:
        receipts = [settle(stand, ledger, gateway.statement(0))]
        struck = stand.faults.struck[fault]
        stand.faults.set(fault, "", fault)
        for batch in range(1, 4):
            receipts.append(settle(stand, ledger, gateway.statement(batch)))
            assert stand.held(gateway.name) == list(range(batch + 1))
        assert stand.faults.struck[fault] == struck + 2
        assert [ledger.submit(gateway.statement(batch)) for batch in range(4)] == receipts
    assert stand.held(gateway.name) == [0, 1, 2, 3]


@pytest.mark.parametrize("fault", [LOST, KEPT, LATE, NEVER])
def test_a_crash_between_submit_and_settle_doubles_and_loses_nothing(
    stand: Stand, gateway: Gateway, fault: str
) -> None:
    memory, entry = Notebook(), gateway.statement(1)
    with stand.driver(gateway.name, memory, timeout_s=IMPATIENT_S) as ledger:
        settle(stand, ledger, gateway.statement(0))
        stand.faults.set(fault)
        try:
            answer = ledger.submit(entry)
        except LedgerUnavailable:
            pass
        else:
            assert isinstance(answer, Pending)
    with stand.driver(gateway.name, memory) as ledger:
        receipt = settle(stand, ledger, entry)
        assert stand.held(gateway.name) == [0, 1]
        assert ledger.submit(entry) == receipt
        settle(stand, ledger, gateway.statement(2))
    assert stand.held(gateway.name) == [0, 1, 2]


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_restarted_ledger_knows_everything(stand: Stand, ledger: Ledger, gateway: Gateway, kill: bool) -> None:
    receipts = [settle(stand, ledger, gateway.statement(batch)) for batch in range(3)]
    stand.end(kill=kill)
    stand.begin()
    assert [again_while_unavailable(lambda n=n: ledger.submit(gateway.statement(n))) for n in range(3)] == receipts  # type: ignore[misc]
    twin = gateway.sign(2, statement_id(gateway.statement(1)), mark=1)
    assert refusal(stand, ledger, gateway, twin) == stand.title(TAKEN)
    settle(stand, ledger, gateway.statement(3))
    assert stand.held(gateway.name) == [0, 1, 2, 3]


def test_a_ledger_that_is_away_is_no_refusal(stand: Stand, gateway: Gateway) -> None:
    with stand.driver(gateway.name, timeout_s=IMPATIENT_S) as ledger:
        settle(stand, ledger, gateway.statement(0))
        stand.end(kill=True)
        try:
            with pytest.raises(LedgerUnavailable):
                ledger.submit(gateway.statement(1))
        finally:
            stand.begin()
        settle(stand, ledger, gateway.statement(1))
    assert stand.held(gateway.name) == [0, 1]


def test_two_workers_of_one_gateway_get_the_same_receipts(stand: Stand, gateway: Gateway) -> None:
    entries = [gateway.statement(batch) for batch in range(20)]
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        drivers = [stack.enter_context(stand.driver(gateway.name)) for _ in range(2)]
        first, second = pool.map(lambda driver: [settle(stand, driver, entry) for entry in entries], drivers)
    assert first == second
    assert stand.held(gateway.name) == list(range(20))


def test_one_driver_serves_two_workers(stand: Stand, ledger: Ledger, gateway: Gateway) -> None:
    entries = [gateway.statement(batch) for batch in range(20)]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda mine: [settle(stand, ledger, entry) for entry in mine], [entries, entries])
    assert first == second
    assert stand.held(gateway.name) == list(range(20))


def test_what_a_ledger_holds_of_a_gateway(stand: Stand, ledger: Ledger, gateway: Gateway) -> None:
    if stand.tells_last:
        assert ledger.last(gateway.name) is None
    if stand.tells_statements:
        assert ledger.statements(gateway.name, -1) == []
    entries = [gateway.statement(batch) for batch in range(5)]
    for entry in entries:
        settle(stand, ledger, entry)
    if stand.tells_last:
        assert ledger.last(gateway.name) == (4, statement_id(entries[4]))
    else:
        with pytest.raises(Unsupported):
            ledger.last(gateway.name)
    if stand.tells_statements:
        assert [ledger.statements(gateway.name, n) for n in (-1, 2, 4)] == [entries, entries[3:], []]
    else:
        with pytest.raises(Unsupported):
            ledger.statements(gateway.name, -1)
    assert stand.held(gateway.name) == list(range(5))


def test_receipts_of_other_ledgers_may_come_along(stand: Stand, ledger: Ledger, gateway: Gateway) -> None:
    entry = gateway.statement(0)
    receipt = settle(stand, ledger, entry)
    if stand.takes_receipts:
        assert ledger.submit(attach_receipts(entry, [receipt])) == receipt
    assert stand.held(gateway.name) == [0]
