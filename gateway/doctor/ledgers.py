"""Doctor check of the ledgers: reachability, acceptance of statements, the last batch, keys for receipts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from gateway.anchoring import ledger_drivers
from gateway.anchoring.refusals import way_out
from gateway.config.device_keys import STATEMENT, key_files
from gateway.config.ledger import LedgerEntry
from gateway.doctor.finding import CONNECT_S, CheckContext, Finding, Result, at_once, connect
from gateway.errors import GatewayError
from ledger_client.errors import KeyFileError, LedgerClientError, Refused, Unsupported
from ledger_client.formats.cose_key import load_private_key
from ledger_client.ledgers.interface import Ledger, Notebook

WAITS_MS = 180_000
"""So long may a sealed batch wait for its ledger before that is called a problem."""


def ledgers(case: CheckContext) -> Iterator[Finding]:
    """Whether every ledger answers, and its receipts can be checked."""
    entries = case.config.document.ledger
    if not entries:
        text = "none is configured: readings are signed and kept, and no one else vouches for when they were made"
        yield Finding("ledgers", "warn", text, "add a [[ledger]] to the configuration")
    for entry in entries:
        yield from _trusted(case, entry)
    sealed = [(entry, _sealed(case, entry)) for entry in entries]  # in this thread, whose connection it is
    yield from at_once(lambda pair: _answers(case, *pair), sealed)


@dataclass(frozen=True, slots=True)
class _Sealed:
    """The newest batch of the database, how it stands at one ledger, and when it was sealed (unix ms)."""

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
    name, trust = f"ledger {entry.name}", case.trust
    if trust is None:
        return
    if entry.place is not None and not any(chain.ledger == entry.name for chain in trust.chains):
        text = f"{case.config.trust} has no [[chain]] of it: who asks its chain counts nothing by this file"
        yield Finding(name, "warn", text, "add a [[chain]] with its contract and this gateway's account (docs/evm.md)")
    elif entry.place is None and not trust.has_ledger_key(entry.name):
        text = f"{case.config.trust} has no key of it: none of its receipts could be checked"
        yield Finding(name, "bad", text, "paste what `meterseal-ledger show LDIR --trust` prints")
    elif entry.name not in trust.ledgers:
        text = f"policy.ledgers in {case.config.trust} does not list it: its receipts count for nobody with this file"
        yield Finding(name, "warn", text, "add it to policy.ledgers")


def _answers(case: CheckContext, entry: LedgerEntry, sealed: _Sealed | None) -> Finding:
    name, away = f"ledger {entry.name}", _away(entry)
    began = time.monotonic()
    try:
        quick = entry.model_copy(update={"timeout": min(entry.timeout, int(CONNECT_S * 1000))})
        driver = ledger_drivers.driver(case.config, quick, Notebook())
    except GatewayError as error:
        return Finding(name, away, error.problem, error.way_out)
    wait = "recording goes on, and batches wait in the database; look at the network and at the ledger"
    try:
        last = driver.last(case.config.gateway_id)
        asked = _demand_writer(case, entry, driver)
    except Unsupported:
        return _not_asked(name, entry, away, wait, sealed)
    except LedgerClientError as error:
        if isinstance(error, Refused):
            return Finding(name, away, f"it would refuse the next batch: {error}", way_out(error.title))
        return Finding(name, away, f"{entry.url} does not answer as a ledger: {error}", wait)
    finally:
        driver.close()
    took = f"{(time.monotonic() - began) * 1000:.0f} ms"
    told = "no batch of this gateway yet" if last is None else f"this gateway's batches up to {last[0]}"
    takes = " and takes this gateway's statements" if asked else ""
    text = f"{entry.url} answers within {took}{takes}: it holds {told}"
    return _took_last(case, Finding(name, "ok", text), away, sealed, last)


def _demand_writer(case: CheckContext, entry: LedgerEntry, driver: Ledger) -> bool:
    """The ledger would take a statement of this gateway: its key is enrolled, or its account may write. Raises Refused;
    False: it cannot be asked."""
    gateway = case.config.gateway_id
    if entry.type == "http":
        from ledger_client.ledgers.http import HttpLedger  # requests, which only this kind of ledger needs

        assert isinstance(driver, HttpLedger)
        try:
            driver.demand_key(gateway, load_private_key(key_files(case.config)[STATEMENT]).public.kid)
        except (KeyFileError, Unsupported):  # the check of the keys tells of the one, an older ledger is the other
            return False
        return True
    from ledger_client.ledgers.evm.driver import EvmLedger  # an extra of its own

    assert isinstance(driver, EvmLedger)
    driver.demand_account(gateway)
    return True


def _took_last(
    case: CheckContext, good: Finding, away: Result, sealed: _Sealed | None, last: tuple[int, bytes] | None
) -> Finding:
    """Whether the ledger holds the newest batch of this database."""
    if sealed is None:
        return good
    number, statement_id = last or (-1, b"")
    if number == sealed.batch and statement_id != sealed.statement_id:
        text = f"{good.text}; its batch {number} is another than the one that was sealed here"
        return Finding(good.check, "bad", text, way_out("Batch number taken"))
    if number >= sealed.batch:
        return good
    if sealed.state == "settled":
        text = f"{good.text}; it gave a receipt for batch {sealed.batch} and does not hold it any more"
        return Finding(good.check, away, text, "have its operator put back what it has lost")
    if case.pid is None:
        return replace(good, text=f"{good.text}; batch {sealed.batch} waits for the gateway to run")
    text = f"{good.text}; batch {sealed.batch} waits to be taken"
    if case.now_ms - sealed.sealed_ms < WAITS_MS:
        return replace(good, text=text)
    return Finding(good.check, away, text, "see why: `meterseal status CONFIG`")


def _away(entry: LedgerEntry) -> Result:
    return "bad" if entry.policy == "required" else "warn"


def _not_asked(name: str, entry: LedgerEntry, away: Result, wait: str, sealed: _Sealed | None) -> Finding:
    """Of a ledger that cannot be asked what it holds the database knows what it took last."""
    if entry.type == "mqtt":
        found = _broker(name, entry, away, wait)
    else:
        found = Finding(name, "ok", f"{entry.url} answers; it is a service that tells nothing of one gateway")
    if found.result != "ok" or sealed is None:
        return found
    if sealed.state == "settled":
        return replace(found, text=f"{found.text}; it has taken the last batch, {sealed.batch}")
    return replace(found, text=f"{found.text}; batch {sealed.batch} waits to be taken")


def _broker(name: str, entry: LedgerEntry, away: Result, wait: str) -> Finding:
    """Over MQTT nothing can be asked; whether the broker is there can be seen."""
    url = urlsplit(entry.url)
    problem = connect(url.hostname or "", url.port or (8883 if url.scheme == "mqtts" else 1883))
    if problem:
        return Finding(name, away, f"its broker {entry.url} cannot be reached: {problem}", wait)
    text = f"its broker {entry.url} takes connections; whether the ledger listens there shows with the next batch"
    return Finding(name, "ok", text)
