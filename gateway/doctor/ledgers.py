"""Doctor check of the ledgers: reachability, acceptance of statements, the last batch, keys for receipts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from gateway.anchoring import ledger_drivers, refusals
from gateway.config.device_keys import statement_key
from gateway.config.ledger import LedgerEntry
from gateway.doctor.check import CONNECT_S, CheckContext, Finding, Result, at_once, connect, error_message
from gateway.errors import GatewayError
from gateway.messages.message import Message
from ledger_client.errors import KeyFileError, LedgerClientError, Refused, Unsupported
from ledger_client.ledgers.interface import Ledger, Notebook
from ledger_client.messages import sentence_of

WAITS_MS = 180_000
"""Age in ms at which a pending batch is a problem."""


def ledgers(case: CheckContext) -> Iterator[Finding]:
    """Check that every ledger answers, would take the next batch, and that its receipts can be verified."""
    entries = case.config.document.ledger
    if not entries:
        yield Finding("ledgers", "warn", Message("ledger-none"))
    for entry in entries:
        yield from _trusted(case, entry)
    sealed = [(entry, _sealed(case, entry)) for entry in entries]  # in this thread, whose connection it is
    yield from at_once(lambda pair: _answers(case, *pair), sealed)


@dataclass(frozen=True, slots=True)
class _Sealed:
    """Newest batch of the database, its state at one ledger, and its time of sealing (Unix ms)."""

    batch: int
    statement_id: bytes
    state: str
    sealed_ms: int


def _sealed(case: CheckContext, entry: LedgerEntry) -> _Sealed | None:
    batch = case.store.batches.last() if case.store is not None else None
    if case.store is None or batch is None:
        return None
    state = next((x.state for x in case.store.anchors.of(batch.batch) if x.ledger == entry.name), "queued")
    return _Sealed(batch.batch, batch.statement_id, state, batch.sealed_ms)


def _trusted(case: CheckContext, entry: LedgerEntry) -> Iterator[Finding]:
    name, trust, file = f"ledger {entry.name}", case.trust, str(case.config.trust)
    if trust is None:
        return
    if entry.place is not None and not any(chain.ledger == entry.name for chain in trust.chains):
        yield Finding(name, "warn", Message("ledger-chain-untrusted", trust=file))
    elif entry.place is None and not trust.has_ledger_key(entry.name):
        yield Finding(name, "bad", Message("ledger-key-missing", trust=file))
    elif entry.name not in trust.ledgers:
        yield Finding(name, "warn", Message("ledger-not-listed", trust=file))


def _answers(case: CheckContext, entry: LedgerEntry, sealed: _Sealed | None) -> Finding:
    name, away = f"ledger {entry.name}", _away(entry)
    began = time.monotonic()
    try:
        quick = entry.model_copy(update={"timeout": min(entry.timeout, int(CONNECT_S * 1000))})
        driver = ledger_drivers.driver(case.config, quick, Notebook())
    except GatewayError as error:
        return Finding(name, away, error_message(error))
    try:
        last = driver.last(case.config.gateway_id)
        asked = _demand_writer(case, entry, driver)
    except Unsupported:
        return _not_asked(name, entry, away, sealed)
    except LedgerClientError as error:
        if isinstance(error, Refused):
            return Finding(name, away, Message("ledger-would-refuse", refusal=refusals.refusal(error)))
        return Finding(name, away, Message("ledger-no-valid-answer", url=entry.url, why=sentence_of(error)))
    finally:
        driver.close()
    took_ms = round((time.monotonic() - began) * 1000)
    held = Message("ledger-holds-nothing") if last is None else Message("ledger-holds-up-to", batch=last[0])
    if asked:
        found = Message("ledger-answers-and-admits", url=entry.url, took_ms=took_ms, held=held)
    else:
        found = Message("ledger-answers", url=entry.url, took_ms=took_ms, held=held)
    return _took_last(case, Finding(name, "ok", found), away, sealed, last)


def _demand_writer(case: CheckContext, entry: LedgerEntry, driver: Ledger) -> bool:
    """Whether the ledger could be asked if it would take a statement of this gateway: its key is enrolled, or its
    account may write. Raises Refused if it would not."""
    gateway = case.config.gateway_id
    if entry.type == "http":
        from ledger_client.ledgers.http import HttpLedger  # requests, which only this kind of ledger needs

        assert isinstance(driver, HttpLedger)
        try:
            driver.demand_key(gateway, statement_key(case.config).public.kid)
        except (KeyFileError, GatewayError, Unsupported):  # the check of the keys reports it; or an older ledger
            return False
        return True
    from ledger_client.ledgers.evm.driver import EvmLedger  # an extra of its own

    assert isinstance(driver, EvmLedger)
    driver.demand_account(gateway)
    return True


def _took_last(
    case: CheckContext, good: Finding, away: Result, sealed: _Sealed | None, last: tuple[int, bytes] | None
) -> Finding:
    """The finding with what became of the newest batch of this database."""
    if sealed is None:
        return good
    number, statement_id = last or (-1, b"")
    found, batch = good.message, sealed.batch
    if number == batch and statement_id != sealed.statement_id:
        return Finding(good.check, "bad", Message("ledger-batch-differs", found=found, batch=batch))
    if number >= batch:
        return good
    if sealed.state == "settled":
        return Finding(good.check, away, Message("ledger-batch-lost", found=found, batch=batch))
    if case.pid is None:
        return replace(good, message=Message("ledger-batch-waits-for-start", found=found, batch=batch))
    if case.now_ms - sealed.sealed_ms < WAITS_MS:
        return replace(good, message=Message("ledger-batch-queued", found=found, batch=batch))
    return Finding(good.check, away, Message("ledger-batch-waits", found=found, batch=batch))


def _away(entry: LedgerEntry) -> Result:
    return "bad" if entry.policy == "required" else "warn"


def _not_asked(name: str, entry: LedgerEntry, away: Result, sealed: _Sealed | None) -> Finding:
    """The finding of a ledger that cannot be asked what it holds, by the database."""
    if entry.type == "mqtt":
        good = _broker(name, entry, away)
    else:
        good = Finding(name, "ok", Message("ledger-service-answers", url=entry.url))
    if good.result != "ok" or sealed is None:
        return good
    if sealed.state == "settled":
        return replace(good, message=Message("ledger-batch-settled", found=good.message, batch=sealed.batch))
    return replace(good, message=Message("ledger-batch-queued", found=good.message, batch=sealed.batch))


def _broker(name: str, entry: LedgerEntry, away: Result) -> Finding:
    """The finding of a ledger behind MQTT: only its broker can be tested."""
    url = urlsplit(entry.url)
    why = connect(url.hostname or "", url.port or (8883 if url.scheme == "mqtts" else 1883))
    if why:
        return Finding(name, away, Message("ledger-broker-unreachable", url=entry.url, why=why))
    return Finding(name, "ok", Message("ledger-broker-answers", url=entry.url))
