"""Cosigned heads of ledgers' logs put into a proof, as the ledgers give them now. Network."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from gateway.config.ledger import LedgerEntry, access_of
from gateway.config.model import Config
from gateway.errors import GatewayError, NotYet
from gateway.messages.message import Message
from ledger_client.errors import LedgerClientError, LedgerError, VerificationError
from ledger_client.formats.bundle import Bundle, Witnessed
from ledger_client.formats.receipt import parse_receipt
from ledger_client.messages import Sentence
from ledger_client.online.log_client import LogClient
from ledger_client.online.witnessed import fetch
from ledger_client.verification.trust import Trust
from ledger_client.verification.witnesses import cosigned_heads


def witnessed(bundle: bytes, config: Config, trust: Trust) -> tuple[bytes, list[Sentence]]:
    """A proof with a cosigned head of each of its ledgers that gives one, and why others give none.

    Of a log that the trust file names the signatures must hold. Raises ``NotYet`` where no ledger gives one.
    """
    parts = Bundle.parse(bundle)
    issuers = _issuers(parts)
    found: list[Witnessed] = []
    lacking: list[Sentence] = []
    for entry in config.document.ledger:
        if entry.name not in issuers:
            continue
        try:
            found.append(_head(entry, config, parts.statement, trust))
        except (LedgerClientError, GatewayError) as error:
            lacking.append(Message("proof-not-witnessed", ledger=entry.name, why=error.sentence))
    if not found:
        raise NotYet(Message("proof-no-witness", why=tuple(lacking) or (Message("proof-no-receipt-to-witness"),)))
    return replace(parts, witnessed=tuple(found)).encode(), lacking


def _issuers(parts: Bundle) -> set[str]:
    names = set()
    for data in parts.receipts:
        try:
            names.add(parse_receipt(data).ledger)
        except VerificationError:
            continue
    return names


def _head(entry: LedgerEntry, config: Config, statement: bytes, trust: Trust) -> Witnessed:
    if entry.type != "http":
        raise LedgerError(Message("proof-not-http", type=entry.type))
    with closing(LogClient(entry.url, access_of(config.path, entry), timeout_s=entry.timeout / 1000)) as log:
        one = fetch(statement, log, max(1, trust.witnessed))
    logs = [log_key for log_key in trust.logs if log_key.ledger == entry.name]
    if logs:
        _, failures = cosigned_heads(statement, [one], logs, trust.witnesses)
        if failures:
            raise LedgerError(failures[0])
    return one
