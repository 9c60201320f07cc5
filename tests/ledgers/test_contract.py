"""What every driver must do, against the real ledger: over HTTP, and through a real mosquitto."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count

import pytest

from ledger_client.cose_key import ES256
from ledger_client.errors import LedgerUnavailable, Refused, Unsupported
from ledger_client.ledgers import Ledger
from ledger_client.statement import attach_receipts, statement_id
from ledger_client.transparency import service
from ledger_client.verify import check_receipt
from tests.ledgers.samples import Gateway
from tests.ledgers.site import Site, again_while_unavailable, persist, site

_numbers = count(1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(params=["http", "mqtt"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ledger(demo: Site, kind: str) -> Iterator[Ledger]:
    with demo.driver(kind) as driver:
        yield driver


@pytest.fixture
def gateway(demo: Site) -> Gateway:
    return demo.enroll(Gateway(f"gw-{next(_numbers)}"))


def refusal(ledger: Ledger, entry: bytes) -> str:
    """The title with which an entry is refused; offering it again changes nothing."""
    titles = set()
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            again_while_unavailable(lambda: ledger.submit(entry))
        assert caught.value.detail
        titles.add(caught.value.title)
    (title,) = titles
    return title


def test_a_receipt_proves_the_statement_and_stays_the_first(demo: Site, ledger: Ledger, gateway: Gateway) -> None:
    entry = gateway.statement(0)
    before = int(time.time())
    receipt = persist(ledger, entry)
    issuer, issued = check_receipt(entry, receipt, demo.trust(), int(time.time()))
    assert issuer == demo.ledger.name == ledger.name
    assert before <= issued <= time.time()
    assert ledger.lookup(statement_id(entry)) == receipt
    assert ledger.submit(entry) == receipt
    persist(ledger, gateway.statement(1))
    assert ledger.submit(entry) == receipt
    assert demo.held(gateway) == [0, 1]


def test_an_id_that_nobody_submitted_is_unknown(ledger: Ledger) -> None:
    assert ledger.lookup(bytes(32)) is None


def test_a_key_on_p256_is_as_good(demo: Site, ledger: Ledger) -> None:
    gateway = demo.enroll(Gateway(f"gw-{next(_numbers)}", ES256))
    check_receipt(gateway.statement(0), persist(ledger, gateway.statement(0)), demo.trust(), int(time.time()))


def test_another_statement_for_a_taken_number_is_refused_for_ever(demo: Site, ledger: Ledger, gateway: Gateway) -> None:
    receipt = persist(ledger, gateway.statement(0))
    assert refusal(ledger, gateway.sign(0, None, mark=1)) == service.TAKEN
    persist(ledger, gateway.statement(1))
    assert refusal(ledger, gateway.sign(0, None, mark=1)) == service.TAKEN
    assert refusal(ledger, gateway.sign(1, statement_id(gateway.statement(0)), mark=1)) == service.TAKEN
    assert refusal(ledger, gateway.sign(1, bytes(32), mark=2, resume="disk lost")) == service.TAKEN
    assert ledger.submit(gateway.statement(0)) == receipt
    assert demo.held(gateway) == [0, 1]


def test_batches_come_in_order(demo: Site, ledger: Ledger, gateway: Gateway) -> None:
    persist(ledger, gateway.statement(0))
    assert refusal(ledger, gateway.statement(2)) == service.OUT_OF_ORDER
    assert refusal(ledger, gateway.sign(1, bytes(32))) == service.OUT_OF_ORDER
    persist(ledger, gateway.statement(1))
    persist(ledger, gateway.statement(2))  # what was refused for its place only is taken in its place
    assert demo.held(gateway) == [0, 1, 2]


def test_the_first_statement_is_taken_at_any_number(demo: Site, ledger: Ledger, gateway: Gateway) -> None:
    persist(ledger, gateway.statement(7))
    persist(ledger, gateway.statement(8))
    assert refusal(ledger, gateway.statement(3)) == service.OUT_OF_ORDER
    assert refusal(ledger, gateway.statement(10)) == service.OUT_OF_ORDER
    assert demo.held(gateway) == [7, 8]


def test_resume_is_taken_above_the_last_and_nowhere_else(demo: Site, ledger: Ledger, gateway: Gateway) -> None:
    persist(ledger, gateway.statement(0))
    resumed = gateway.sign(5, bytes(32), resume="storage lost")
    persist(ledger, resumed)
    assert refusal(ledger, gateway.sign(3, bytes(32), resume="storage lost")) == service.OUT_OF_ORDER
    persist(ledger, gateway.sign(6, statement_id(resumed)))
    assert demo.held(gateway) == [0, 5, 6]


def test_a_stranger_is_refused_until_he_is_enrolled(demo: Site, ledger: Ledger) -> None:
    stranger = Gateway(f"gw-{next(_numbers)}")
    assert refusal(ledger, stranger.statement(0)) == service.UNKNOWN_KEY
    demo.enroll(stranger)
    persist(ledger, stranger.statement(0))


def test_one_gateway_cannot_speak_for_another(demo: Site, ledger: Ledger, gateway: Gateway) -> None:
    thief = Gateway(gateway.name)
    assert refusal(ledger, thief.statement(0)) == service.UNKNOWN_KEY
    thief.name = f"gw-{next(_numbers)}"
    demo.enroll(thief)
    thief.name = gateway.name
    assert refusal(ledger, thief.sign(0, None)) == service.UNKNOWN_KEY
    assert demo.held(gateway) == []


def test_a_forged_signature_is_refused(demo: Site, ledger: Ledger, gateway: Gateway) -> None:
    entry = gateway.statement(0)
    assert refusal(ledger, entry[:-40] + bytes([entry[-40] ^ 1]) + entry[-39:]) == service.BAD_SIGNATURE
    assert demo.held(gateway) == []


@pytest.mark.parametrize(
    "validity",
    [
        pytest.param((0, "revoked = 2026-01-01T00:00:00Z\nrevoked_reason = 'stolen'\n"), id="revoked"),
        pytest.param((0, "valid_to = 2026-01-01T00:00:00Z\n"), id="expired"),
        pytest.param((4_000_000_000, ""), id="not yet valid"),
    ],
)
def test_a_key_counts_only_while_it_is_valid(demo: Site, ledger: Ledger, validity: tuple[int, str]) -> None:
    gateway = demo.enroll(Gateway(f"gw-{next(_numbers)}"), valid_from=validity[0], extra=validity[1])
    assert refusal(ledger, gateway.statement(0)) == service.KEY_NOT_VALID
    assert demo.held(gateway) == []


def test_revoking_stops_the_next_statement_and_takes_back_none(demo: Site, ledger: Ledger, gateway: Gateway) -> None:
    receipt = persist(ledger, gateway.statement(0))
    policy = demo.ledger.folder / "policy.toml"
    before = policy.read_text()
    head, name, tail = before.partition(f'gateway = "{gateway.name}"')
    policy.write_text(head + name + "\nrevoked = 2026-01-01T00:00:00Z" + tail)
    try:
        assert refusal(ledger, gateway.statement(1)) == service.KEY_NOT_VALID
        assert ledger.submit(gateway.statement(0)) == receipt
    finally:
        policy.write_text(before)
    persist(ledger, gateway.statement(1))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restarted_ledger_knows_everything(demo: Site, ledger: Ledger, gateway: Gateway, end: str) -> None:
    receipts = [persist(ledger, gateway.statement(batch)) for batch in range(3)]
    if end == "stop":
        assert demo.ledger.stop() == 0
    else:
        demo.ledger.kill()
    demo.ledger.start()
    assert [persist(ledger, gateway.statement(batch)) for batch in range(3)] == receipts
    assert refused_again(ledger, gateway) == service.TAKEN
    persist(ledger, gateway.statement(3))
    assert demo.held(gateway) == [0, 1, 2, 3]


def refused_again(ledger: Ledger, gateway: Gateway) -> str:
    return refusal(ledger, gateway.sign(2, statement_id(gateway.statement(1)), mark=1))


def test_a_ledger_that_is_away_is_no_refusal(demo: Site, kind: str, gateway: Gateway) -> None:
    with demo.driver(kind, timeout_s=0.5) as ledger:
        persist(ledger, gateway.statement(0))
        demo.ledger.kill()
        try:
            with pytest.raises(LedgerUnavailable):
                ledger.submit(gateway.statement(1))
        finally:
            demo.ledger.start()
        persist(ledger, gateway.statement(1))
    assert demo.held(gateway) == [0, 1]


def test_two_submitters_of_one_gateway_get_the_same_receipts(demo: Site, kind: str, gateway: Gateway) -> None:
    entries = [gateway.statement(batch) for batch in range(25)]
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        drivers = [stack.enter_context(demo.driver(kind)) for _ in range(2)]
        first, second = pool.map(lambda driver: [persist(driver, entry) for entry in entries], drivers)
    assert first == second
    assert demo.held(gateway) == list(range(25))


def test_many_gateways_at_once_over_both_wires(demo: Site, kind: str) -> None:
    gateways = [demo.enroll(Gateway(f"gw-{next(_numbers)}")) for _ in range(6)]

    def run(number: int) -> None:
        with demo.driver(kind if number % 2 else "http") as driver:
            for batch in range(8):
                persist(driver, gateways[number].statement(batch))

    with ThreadPoolExecutor(len(gateways)) as pool:
        list(pool.map(run, range(len(gateways))))
    for gateway in gateways:
        assert demo.held(gateway) == list(range(8))


def test_what_a_ledger_holds_of_a_gateway(ledger: Ledger, gateway: Gateway, kind: str) -> None:
    if kind == "mqtt":
        with pytest.raises(Unsupported):
            ledger.last(gateway.name)
        with pytest.raises(Unsupported):
            ledger.statements(gateway.name, -1)
        return
    assert ledger.last(gateway.name) is None
    assert ledger.statements(gateway.name, -1) == []
    entries = [gateway.statement(batch) for batch in range(5)]
    for entry in entries:
        persist(ledger, entry)
    assert ledger.last(gateway.name) == (4, statement_id(entries[4]))
    assert ledger.statements(gateway.name, -1) == entries
    assert ledger.statements(gateway.name, 2) == entries[3:]
    assert ledger.statements(gateway.name, 4) == []


def test_receipts_of_other_ledgers_may_come_along(demo: Site, gateway: Gateway) -> None:
    entry = gateway.statement(0)
    with demo.driver("http") as http:
        receipt = persist(http, entry)
        assert http.submit(attach_receipts(entry, [receipt])) == receipt
