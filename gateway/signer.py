"""Bodies → signed records: the only place where a sequence number is given and a chain grows.

Takes what a poll, a coverage or an event says, gives the signed row to keep. It may run ahead of the store by what is
not committed yet; ``rewind`` takes it back when a commit fails, so that no number is used twice or left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.clock import Clock
from gateway.hold import station
from gateway.keys import Keys
from gateway.news import Signed, Stamp
from gateway.store import Row
from ledger_client.record import Claims, Coverage, Event, Reading, ReadingWriter, record_hash, sign_record

GATEWAY = "gateway"  # EVIDENCE §2: events of the gateway itself stand under this name


_Link = tuple[int, bytes | None]  # the end of a meter's chain: next sequence number, hash of the last record


class Signer:
    """Signs for every meter of one gateway within one epoch."""

    def __init__(self, gateway: str, epoch: bytes, keys: Keys, tails: Mapping[str, bytes | None]) -> None:
        """``tails`` holds, for each meter and for ``gateway``, the bytes of its last known record or None."""
        self.epoch = epoch
        self._gateway = gateway
        self._keys = {**keys.meters, GATEWAY: keys.statement}
        self._writers = {meter: ReadingWriter(gateway, meter, key) for meter, key in keys.meters.items()}
        self._links: dict[str, _Link] = {
            meter: (0, record_hash(data) if data else None) for meter, data in tails.items()
        }

    @property
    def kids(self) -> dict[str, bytes]:
        """The thumbprint of each key that signs, by meter, and of the statement key under ``gateway``."""
        return {owner: key.public.kid for owner, key in self._keys.items()}

    def learn(self, keys: Keys, tails: Mapping[str, bytes | None]) -> None:
        """Sign for more meters from now on, ``tails`` as above; one that signed in this epoch before counts on."""
        for meter, data in tails.items():
            self._keys[meter] = keys.meters[meter]
            self._writers[meter] = ReadingWriter(self._gateway, meter, keys.meters[meter])
            self._links.setdefault(meter, (0, record_hash(data) if data else None))

    def position(self) -> Mapping[str, _Link]:
        """Where every chain stands, to ``rewind`` to."""
        return dict(self._links)

    def rewind(self, position: Mapping[str, _Link]) -> None:
        """Forget what was signed since ``position``: it was never committed, so nobody has seen it."""
        self._links = dict(position)

    def reading(self, meter: str, body: Reading, stamp: Stamp) -> Signed:
        """Sign one poll of one meter."""
        station("sign")
        data = self._writers[meter].sign(self._claims(meter, stamp), body)
        return Signed(self._row(meter, "reading", body.time_ms, data), body, stamp)

    def coverage(self, meter: str, body: Coverage, stamp: Stamp) -> Signed:
        """Sign what was due and what became of it."""
        data = sign_record(self._claims(meter, stamp), body, self._keys[meter])
        return Signed(self._row(meter, "coverage", body.to_ms, data), body, stamp)

    def event(self, meter: str, body: Event, stamp: Stamp) -> Signed:
        """Sign an event of a meter, or of the gateway itself."""
        data = sign_record(self._claims(meter, stamp), body, self._keys[meter])
        return Signed(self._row(meter, "event", stamp.time_ms // 1000 * 1000, data), body, stamp)

    def _claims(self, meter: str, stamp: Stamp) -> Claims:
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

    def _row(self, meter: str, kind: str, time_ms: int, data: bytes) -> Row:
        seq, _ = self._links[meter]
        self._links[meter] = seq + 1, record_hash(data)
        return Row(meter, self.epoch, seq, kind, time_ms, data)


def stamp(clock: Clock) -> Stamp:
    """Now, by the gateway's clock."""
    letter, error_ms = clock.letter()
    return Stamp(clock.now_ms(), clock.up_ms(), letter, error_ms)
