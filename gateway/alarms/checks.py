"""Periodic alarm checks of database, disk, certificates and trust file. Reads only; blocks the calling thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.accounting.statements.retention import Retention
from gateway.config.bus import Bus
from gateway.config.device_keys import STATEMENT, load_keys, load_site_trust
from gateway.config.feed import FeedEntry
from gateway.config.ledger import LedgerEntry
from gateway.config.model import Config
from gateway.config.notify import NotifyEntry
from gateway.config.web import Web
from gateway.errors import ConfigError, StoreError
from gateway.evidence.key_match import unlisted
from gateway.messages.alarm_kinds import KINDS, AlarmCode
from gateway.messages.message import Message
from gateway.records import CONFIGURATION, GATEWAY, START
from gateway.storage.capacity.forecast import horizon
from gateway.storage.database import Database
from ledger_client.errors import LedgerClientError
from ledger_client.formats.record import Event, parse_record
from ledger_client.messages import Sentence
from ledger_client.transport.access import AccessError
from ledger_client.verification.trust import Trust, TrustKey
from ledger_client.verification.trust_dates import NOTICE_S, ending

DAY_S = 86_400
NEAR_S = 30 * DAY_S
SHORT_S = 2 * DAY_S
PROVEN = 20
"""Newest records whose signatures are checked."""
CONFIRMED_ONLY = (AlarmCode.LEDGER_REFUSED, AlarmCode.EQUIVOCATION)
"""Raised by others; a check only confirms those that were active before the start."""

Conditions = dict[tuple[str, str], tuple[Sentence, int | None]]
"""(source, line) → (sentence, since in ms)."""
_Item = tuple[tuple[str, str], tuple[Sentence, int | None]]


@dataclass(slots=True)
class Found:
    """Everything of each kind that is so; a kind that could not be looked for is not in it.

    ``forged``: among the newest records. ``changed``: that this start is of another configuration.
    """

    alarms: dict[str, Conditions] = field(default_factory=dict)
    forged: Conditions = field(default_factory=dict)
    changed: Message | None = None


def run_periodic_checks(config: Config, now_ms: int, held: Sentence | None) -> Found:
    """One look. ``held``: why nothing is sealed. Never raises for what can be wrong with a site's files."""
    found = Found()
    try:
        store = Database(config.database, read_only=True)
    except StoreError:
        store = None
    if store is not None:
        try:
            _look_at_store(config, store, now_ms, held, found)
        except (StoreError, LedgerClientError):
            pass  # the recorder meets the same and says so
        finally:
            store.close()
    found.alarms[AlarmCode.CERTIFICATE_END] = dict(_certificates(config, now_ms))
    if (trust := _trust(config)) is not None:
        found.alarms[AlarmCode.KEY_END] = {**dict(_keys(config, trust, now_ms)), **dict(_trust_end(trust, now_ms))}
        with suppress(ConfigError):  # a key file that has gone: the gateway has its key, and the doctor looks at it
            found.alarms[AlarmCode.KEY_UNLISTED] = dict(_unlisted(config, trust))
    return found


def _look_at_store(config: Config, store: Database, now_ms: int, held: Sentence | None, found: Found) -> None:
    ledgers = [entry.name for entry in config.document.ledger]
    refused = {(GATEWAY, f"ledger {name}"): store.anchors.first_refused(name) for name in ledgers}
    found.alarms[AlarmCode.LEDGER_REFUSED] = {key: (at.sentence, None) for key, at in refused.items() if at is not None}
    found.alarms[AlarmCode.EQUIVOCATION] = {
        (GATEWAY, f"ledger {c.ledger}"): ("", c.found_ms) for c in store.anchors.conflicts()
    }
    found.alarms[AlarmCode.ANCHOR_OVERDUE] = dict(_overdue(store, ledgers, now_ms, held))
    found.forged = dict(_signatures(config, store))
    found.changed = _changed(store)
    room = horizon(config, store, now_ms, Retention().waits, running=True)
    ends = [s for s in (room.seconds, room.thin_seconds) if s is not None and not room.for_ever]
    short = bool(ends) and min(ends) < SHORT_S
    found.alarms[AlarmCode.DISK] = (
        {(GATEWAY, "store"): (Message("room-short", horizon=room.message), None)} if short else {}
    )


def _overdue(store: Database, ledgers: Iterable[str], now_ms: int, held: Sentence | None) -> Iterator[_Item]:
    limit_ms = KINDS[AlarmCode.ANCHOR_OVERDUE].on_delay_ms
    for name in ledgers:
        for _, batch in store.anchors.pending(name, 1):
            if now_ms - batch.sealed_ms >= limit_ms:
                overdue = Message("anchor-overdue", ledger=name, batch=batch.batch, sealed_ms=batch.sealed_ms)
                yield (GATEWAY, f"ledger {name}"), (overdue, batch.sealed_ms)
    began_ms = store.epochs.began_ms()
    if held is not None and now_ms - began_ms >= limit_ms:
        yield (GATEWAY, "sealing"), (held, began_ms)


def _signatures(config: Config, store: Database) -> Iterator[_Item]:
    trust = _trust(config)
    if trust is None:
        return
    keys = {(key.meter or GATEWAY, key.kid): key.key for key in trust.keys if key.gateway == config.gateway_id}
    for _, row in store.records.newest_places(PROVEN, ()):
        try:
            record = parse_record(row.data)
            key = keys.get((row.meter, record.kid))
            if key is not None:
                record.sign1.verify(key)
        except LedgerClientError as error:
            yield (row.meter, "store"), (Message("record-signature-bad", record=row.id, error=error.sentence), None)


def _changed(store: Database) -> Message | None:
    """The condition that the newest start was of another configuration than the one in force before it."""
    bodies = (parse_record(row.data).body for row in store.records.events_of(GATEWAY))
    events = (
        body
        for body in bodies
        if isinstance(body, Event)
        and (body.name == START or (body.name == CONFIGURATION and body.fields.get("at") == "change"))
    )
    now = next((event.fields["config"] for event in events if event.name == START), None)
    before = next((event.fields["config"] for event in events), None)
    if now is None or before is None or now == before:
        return None
    return Message("configuration-differs", now=now.hex()[:16], before=before.hex()[:16])


def _certificates(config: Config, now_ms: int) -> Iterator[_Item]:
    for owner, key, path in certificate_files(config):
        end_s = certificate_end(path)
        if end_s is not None and (left_s := end_s - now_ms // 1000) < NEAR_S:
            sentence = Message("certificate-expired", owner=owner, path=str(path), end_s=end_s)
            if left_s >= 0:
                sentence = Message("certificate-ends", owner=owner, path=str(path), n=left_s // DAY_S, end_s=end_s)
            yield (GATEWAY, f"{owner}, {key}"), (sentence, _near_ms(end_s))


def certificate_files(config: Config) -> Iterator[tuple[str, str, Path]]:
    """(whose, key in the configuration, file) of every certificate that the configuration names."""
    document = config.document
    sections: list[tuple[str, Bus | LedgerEntry | FeedEntry | NotifyEntry | Web]] = [
        *((f"bus {bus.name}", bus) for bus in document.bus),
        *((f"ledger {entry.name}", entry) for entry in document.ledger),
        *((f"feed {entry.name}", entry) for entry in document.feed),
        *((f"notify {entry.name}", entry) for entry in document.notify),
    ]
    if document.web is not None:
        sections.append(("web", document.web))
    for owner, section in sections:
        try:
            access = section.access(config.path.parent)
        except AccessError:
            continue
        for key, path in (("ca", access.ca), ("cert", access.cert)):
            if path is not None:
                yield owner, key, path


def certificate_end(path: Path) -> int | None:
    """When the first of a file's certificates ends, in Unix seconds; None where none can be read."""
    from cryptography import x509  # 40 ms that a start of the gateway need not pay

    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return None
    return int(min(one.not_valid_after_utc for one in found).timestamp())


def _keys(config: Config, trust: Trust, now_ms: int) -> Iterator[_Item]:
    for (source, line), key in newest_keys(config, trust).items():
        if (left_s := _end(key) - now_ms // 1000) < NEAR_S:
            end_s, whose, kid = int(_end(key)), key.ledger or key.meter or config.gateway_id, key.kid.hex()[:16]
            sentence = Message("key-expired", role=key.role, whose=whose, kid=kid, end_s=end_s)
            if left_s >= 0:
                n = int(left_s) // DAY_S
                sentence = Message("key-ends", role=key.role, whose=whose, kid=kid, n=n, end_s=end_s)
            yield (source, line), (sentence, _near_ms(end_s))


def _trust_end(trust: Trust, now_ms: int) -> Iterator[_Item]:
    """The trust file that expires: the gateway goes on by it, whoever judges by it does not."""
    if trust.expires is not None and (sentence := ending(trust, now_ms // 1000)) is not None:
        yield (GATEWAY, "trust file"), (sentence, (trust.expires - NOTICE_S) * 1000)


def _unlisted(config: Config, trust: Trust) -> Iterator[_Item]:
    for name, sentence in unlisted(config, load_keys(config), trust):
        yield (GATEWAY if name == STATEMENT else name, "trust file"), (sentence, None)


def newest_keys(config: Config, trust: Trust) -> dict[tuple[str, str], TrustKey]:
    """By (source, line): this gateway's keys, and those it believes ledgers by; of each the one that counts longest."""
    last: dict[tuple[str, str], TrustKey] = {}
    ledgers = {entry.name for entry in config.document.ledger}
    for key in trust.keys:
        if key.gateway != config.gateway_id and key.ledger not in ledgers:
            continue
        source = key.meter or GATEWAY
        line = f"ledger {key.ledger}" if key.ledger else f"{key.role} key"
        before = last.get((source, line))
        if before is None or _end(key) > _end(before):
            last[source, line] = key
    return last


def _end(key: TrustKey) -> float:
    return float("inf") if key.valid_to is None else key.valid_to


def _near_ms(end_s: int) -> int:
    """Since when an end is near."""
    return (end_s - NEAR_S) * 1000


def _trust(config: Config) -> Trust | None:
    try:
        return load_site_trust(config)
    except LedgerClientError:
        return None
