"""The http driver and somebody else's SCITT service: the whole flow of the reference APIs, crashes and lost answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from ledger_client.errors import LedgerUnavailable, Refused, Unsupported
from ledger_client.ledgers.http import HttpLedger
from ledger_client.ledgers.interface import DriverNotes, Notebook, Pending
from ledger_client.transport.access import Access
from ledger_client.verification.vouching import check_receipt
from tests.interop.foreign_scitt import Answer, Fault, ForeignScitt, serving
from tests.support.enrolled import Gateway

GATEWAY = Gateway("gw")
ENTRY = GATEWAY.statement(0)
ID = sha256(ENTRY).digest()


@pytest.fixture
def service() -> Iterator[ForeignScitt]:
    with serving(ForeignScitt()) as running:
        yield running


def driver(service: ForeignScitt, memory: DriverNotes | None = None, access: Access | None = None) -> HttpLedger:
    return HttpLedger(service.name, service.url, access, timeout_s=5.0, memory=memory)


def settle(ledger: HttpLedger, entry: bytes, *, submitted_before: bool = False) -> bytes:
    """As the gateway does: look up what may be there, submit else, and ask until the receipt is here."""
    answer = ledger.lookup(sha256(entry).digest()) if submitted_before else None
    answer = answer or ledger.submit(entry)
    while isinstance(answer, Pending):  # the service says how long to wait; here nobody has to
        answer = ledger.lookup(sha256(entry).digest())
        assert answer is not None
    return answer


def test_the_flow_from_submission_to_receipt(service: ForeignScitt) -> None:
    with closing(driver(service)) as ledger:
        first = ledger.submit(ENTRY)
        assert first == Pending(1.0, service.url + "/entries/op-1")
        assert [ledger.lookup(ID), ledger.lookup(ID)] == [first, first]
        receipt = ledger.lookup(ID)
        assert isinstance(receipt, bytes)
        assert check_receipt(ENTRY, receipt, service.trust(), int(time.time()))[0] == service.name
        for batch in range(1, 4):
            entry = GATEWAY.statement(batch)
            check_receipt(entry, settle(ledger, entry), service.trust(), int(time.time()))
        for ask in (lambda: ledger.last("gw"), lambda: ledger.statements("gw", 0)):
            with pytest.raises(Unsupported, match="not an embedded ledger"):
                ask()
    assert service.entries == [GATEWAY.statement(batch) for batch in range(4)]
    assert service.asked[:4] == ["POST /entries", *["GET /entries/op-1"] * 3]


@pytest.mark.parametrize(("retry_after", "meant"), [("0", 0.2), ("7", 7.0), ("soon", 5.0)])
def test_a_service_says_how_long_to_wait(service: ForeignScitt, retry_after: str, meant: float) -> None:
    service.retry_after = retry_after
    with closing(driver(service)) as ledger:
        ledger.submit(ENTRY)
        assert ledger.lookup(ID) == Pending(meant, service.url + "/entries/op-1")


def test_a_service_that_answers_at_once() -> None:
    with serving(ForeignScitt(polls=0)) as service, closing(driver(service)) as ledger:
        receipt = ledger.submit(ENTRY)
        assert isinstance(receipt, bytes)
        check_receipt(ENTRY, receipt, service.trust(), int(time.time()))


def test_a_restart_asks_at_the_location_that_is_written_down(service: ForeignScitt) -> None:
    memory = Notebook()
    with closing(driver(service, memory)) as ledger:
        ledger.submit(ENTRY)
    assert memory.recall(ID) == f"0 {service.url}/entries/op-1".encode()
    with closing(driver(service, memory)) as ledger:
        check_receipt(ENTRY, settle(ledger, ENTRY, submitted_before=True), service.trust(), int(time.time()))
    assert service.entries == [ENTRY]


def test_what_is_not_known_any_more_is_submitted_again(service: ForeignScitt) -> None:
    memory = Notebook()
    for forgetful in ("we", "they"):
        with closing(driver(service, memory)) as ledger:
            ledger.submit(ENTRY)
        if forgetful == "we":
            memory = Notebook()
        else:
            service.restart()
        with closing(driver(service, memory)) as ledger:
            assert ledger.lookup(ID) is None
            check_receipt(ENTRY, settle(ledger, ENTRY, submitted_before=True), service.trust(), int(time.time()))


@pytest.mark.parametrize("status", [400, 404, 405, 410])
def test_a_service_that_knows_no_ids_of_ours(service: ForeignScitt, status: int) -> None:
    service.fault = lambda method, _path: Answer(status) if method == "GET" else None
    with closing(driver(service)) as ledger:
        assert ledger.lookup(ID) is None
    assert service.asked[0].startswith("GET /entries/")


def test_a_note_that_leads_elsewhere_is_not_followed(service: ForeignScitt) -> None:
    with serving(ForeignScitt("other")) as other:
        for note in (
            f"0 {other.url}/entries/1",
            f"0 {service.url.replace('//', '//me@')}/entries/1",
            "0 x",
            "\xff",
            "",
        ):
            memory = Notebook()
            memory.keep(ID, note.encode())
            with closing(driver(service, memory)) as ledger:
                assert ledger.lookup(ID) is None
        assert other.asked == []


@pytest.mark.parametrize("fault", ["failed", "lost"])
def test_every_third_call_fails(service: ForeignScitt, fault: Fault) -> None:
    calls = count()
    service.fault = lambda _method, _path: fault if next(calls) % 3 == 0 else None
    memory, failures = Notebook(), []
    for batch in range(3):
        entry, submitted, receipt = GATEWAY.statement(batch), False, None
        while not isinstance(receipt, bytes):
            with closing(driver(service, memory)) as ledger:  # and the process is a new one each time
                try:
                    answer = ledger.lookup(sha256(entry).digest()) if submitted else None
                    submitted = True
                    receipt = answer or ledger.submit(entry)
                except LedgerUnavailable as error:
                    failures.append(error.problem)
        check_receipt(entry, receipt, service.trust(), int(time.time()))
    assert {detail.partition(": ")[2] for detail in failures} == {"the server closed the connection without a response"}
    # where the answer to a submission is lost such a service cannot be asked: it registers the statement once more
    assert set(service.entries) == {GATEWAY.statement(batch) for batch in range(3)}


def test_a_busy_service_is_left_alone_for_as_long_as_it_says(service: ForeignScitt) -> None:
    then = datetime.now(UTC) + timedelta(days=365)  # its clock or ours is wrong by a year: only the difference counts
    dates = (("Date", format_datetime(then, usegmt=True)),)
    until = format_datetime(then + timedelta(seconds=90), usegmt=True)
    with closing(driver(service)) as ledger:
        for retry_after, meant in (("7", 7.0), (until, 90.0), ("soon", None), ("99999", 3600.0), ("-1", None)):
            service.fault = lambda _m, _p, retry_after=retry_after: Answer(429, (*dates, ("Retry-After", retry_after)))  # type: ignore[misc]
            with pytest.raises(LedgerUnavailable) as caught:
                ledger.submit(ENTRY)
            assert caught.value.retry_after_s == meant


def test_a_service_that_sends_us_in_circles_is_told_apart(service: ForeignScitt) -> None:
    hops = 0

    def onward(method: str, _path: str) -> Fault:
        nonlocal hops
        hops += 1
        return Answer(302, (("Location", f"/entries/hop-{hops}"),)) if method == "GET" else None

    service.fault = onward
    memory = Notebook()
    with closing(driver(service, memory)) as ledger:
        ledger.submit(ENTRY)
        for _ in range(32):
            assert isinstance(ledger.lookup(ID), Pending)
        with pytest.raises(LedgerUnavailable, match="32 redirects without a receipt"):
            ledger.lookup(ID)
    assert not memory.recall(ID)


def test_a_token_that_is_renewed_in_its_file(
    service: ForeignScitt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "token"
    file.write_text("old-token\n")
    file.chmod(0o600)
    service.token = "new-token"
    with closing(driver(service, access=Access(token_file=file))) as ledger:
        with pytest.raises(LedgerUnavailable, match=r"check token_file.*a token, please") as caught:
            ledger.submit(ENTRY)
        assert "old-token" not in str(caught.value)

        def renew(_method: str, _path: str) -> Fault:
            file.write_text("new-token\n")  # after the old one was sent, and before the answer: asked once more
            return None

        service.fault = renew
        check_receipt(ENTRY, settle(ledger, ENTRY), service.trust(), int(time.time()))
        assert service.asked[:3] == ["POST /entries"] * 3
        file.unlink()
        with pytest.raises(LedgerUnavailable, match=r"token_file: .* does not exist"):
            ledger.submit(ENTRY)
    assert service.entries == [ENTRY]
    assert "-token" not in caplog.text


def test_a_refusal_is_its_own_words(service: ForeignScitt) -> None:
    service.fault = lambda _m, _p: Answer(403)
    with closing(driver(service)) as ledger, pytest.raises(Refused, match="HTTP 403"):
        ledger.submit(ENTRY)
