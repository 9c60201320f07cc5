"""Signer: bodies → signed records; the only place that assigns a sequence number and extends a chain.

Takes the body of a poll, a coverage or an event, gives the signed row to keep. It may run ahead of the store by what is
not committed yet; ``rewind`` takes it back when a commit fails, so that no number is used twice or left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from gateway.config.device_keys import Keys
from gateway.process.failpoints import failpoint
from gateway.records import GATEWAY, SignedRecord, StoredRecord, Timestamp, Token
from ledger_client.errors import KeyAway
from ledger_client.formats.cose_key import Signer as Key
from ledger_client.formats.record import Claims, Coverage, Event, ReadingWriter, record_hash, sign_record
from ledger_client.formats.senml import Reading

_Link = tuple[int, bytes | None]  # the end of a meter's chain: next sequence number, hash of the last record


class Signer:
    """Signs for every meter of one gateway within one epoch."""

    def __init__(self, gateway: str, epoch: bytes, keys: Keys, tails: Mapping[str, bytes | None]) -> None:
        """``tails`` holds, for each meter and for ``gateway``, the bytes of its last known record or None."""
        self.epoch = epoch
        self._last = Timestamp(0, 0, "U", None)
        self._gateway = gateway
        self._keys: Mapping[str, Key] = {}
        self._writers: dict[str, ReadingWriter] = {}
        self.sign_with({**keys.meters, GATEWAY: keys.statement})
        self._links: dict[str, _Link] = {
            meter: (0, record_hash(data) if data else None) for meter, data in tails.items()
        }

    @property
    def kids(self) -> dict[str, bytes]:
        """The thumbprint of each key that signs, by meter, and of the statement key under ``gateway``."""
        return {owner: key.public.kid for owner, key in self._keys.items()}

    @property
    def keys(self) -> Mapping[str, Key]:
        """The keys that sign, by owner; of meters that are no more, too. To ``sign_with`` again."""
        return self._keys

    def sign_with(self, keys: Mapping[str, Key]) -> None:
        """Sign with these keys from now on; chains go on."""
        anew = {owner: key for owner, key in keys.items() if self._keys.get(owner) is not key}
        self._keys = keys
        self._writers |= {m: ReadingWriter(self._gateway, m, key) for m, key in anew.items() if m != GATEWAY}

    def learn(self, keys: Keys, tails: Mapping[str, bytes | None]) -> None:
        """Sign with these keys from now on, and for more meters, ``tails`` as above; one that signed in this epoch
        before counts on."""
        self.sign_with({**self._keys, **keys.meters, GATEWAY: keys.statement})
        for meter, data in tails.items():
            self._links.setdefault(meter, (0, record_hash(data) if data else None))

    def position(self) -> Mapping[str, _Link]:
        """Where every chain stands, to ``rewind`` to."""
        return dict(self._links)

    def rewind(self, position: Mapping[str, _Link]) -> None:
        """Forget what was signed since ``position``: it was never committed or shown."""
        self._links = dict(position)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """What is signed in the block is signed whole or not at all: where the statement key turns out to be away
        (KeyAway, which is raised on), chains, times and keys stand as before."""
        links, last, keys = self.position(), self._last, self._keys
        try:
            yield
        except KeyAway:
            self.rewind(links)
            self.sign_with(keys)
            self._last = last
            raise

    def in_order(self, stamp: Timestamp) -> Timestamp:
        """The stamp of what is signed next: of what was stamped before the last that was signed, it has the time of
        that, so that neither ``up`` nor ``iat`` ever falls. The clock's letter stays that of its own moment."""
        last = self._last
        if stamp.up_ms < last.up_ms or stamp.time_ms < last.time_ms:
            return stamp._replace(time_ms=last.time_ms, up_ms=last.up_ms)
        self._last = stamp
        return stamp

    def reading(self, meter: str, body: Reading, stamp: Timestamp, token: Token | None = None) -> SignedRecord:
        """Sign one poll of one meter, or the message with this token."""
        failpoint("sign")
        stamp = self.in_order(stamp)
        data = self._writers[meter].sign(self._claims(meter, stamp), body)
        return SignedRecord(self._row(meter, "reading", body.time_ms, data), body, stamp, token)

    def coverage(self, meter: str, body: Coverage, stamp: Timestamp) -> SignedRecord:
        """Sign what was due and what became of it."""
        stamp = self.in_order(stamp)
        data = sign_record(self._claims(meter, stamp), body, self._keys[meter])
        return SignedRecord(self._row(meter, "coverage", body.to_ms, data), body, stamp)

    def event(self, meter: str, body: Event, stamp: Timestamp) -> SignedRecord:
        """Sign an event of a meter, or of the gateway itself."""
        stamp = self.in_order(stamp)
        data = sign_record(self._claims(meter, stamp), body, self._keys[meter])
        return SignedRecord(self._row(meter, "event", stamp.time_ms // 1000 * 1000, data), body, stamp)

    def _claims(self, meter: str, stamp: Timestamp) -> Claims:
        seq, prev = self._links[meter]
        return Claims(
            gateway=self._gateway,
            meter=meter,
            iat=stamp.time_ms // 1000,
            up_ms=stamp.up_ms,
            seq=seq,
            epoch=self.epoch,
            prev=prev,
            clock=stamp.clock,
            err_ms=stamp.error_ms,
        )

    def _row(self, meter: str, kind: str, time_ms: int, data: bytes) -> StoredRecord:
        seq, _ = self._links[meter]
        self._links[meter] = seq + 1, record_hash(data)
        return StoredRecord(meter, self.epoch, seq, kind, time_ms, data)
