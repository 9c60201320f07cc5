"""Recognition of a meter that is not asked: who it is by what is heard of it, and who values are accepted from."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gateway.devices.blocks import Block, Raw
from gateway.fieldbus.specs import Poll
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality

PROVEN_MS = 3_600_000
"""How long an identity counts after it was last heard."""


class Recognition:
    """See the module. ``wanted``: names of the points that together are its identity. ``identity``: whose
    values are accepted; None until it was heard for the first time."""

    def __init__(self, wanted: Collection[str], identity: str | None = None) -> None:
        self._wanted, self.identity = tuple(wanted), identity
        self.stranger: str | None = None
        """The identity of another device that was heard last in place of the known one."""
        self._proven_ms: int | None = None

    def accept(self, identity: str | None) -> None:
        """From now on values come from this meter; None: from whoever is heard next."""
        self.identity, self.stranger, self._proven_ms = identity, None, None

    @property
    def unproven(self) -> bool:
        """Its identity was not heard since it came into doubt."""
        return self._proven_ms is None

    def doubt(self) -> None:
        """The line broke off or the meter was silent: its identity must be heard again."""
        self._proven_ms = None

    def look(self, heard: Iterable[tuple[Block, Raw]], at_ms: int) -> None:
        """Compare the identity in what was heard together, if all of its points are there. ``at_ms``: when it was
        heard."""
        marks = dict[str, str]()
        if not self._wanted:
            return
        for block, raw in heard:
            marks |= _values(block, raw, self._wanted)
        if not all(name in marks for name in self._wanted):
            return
        found = ", ".join(f"{name}={marks[name]}" for name in self._wanted)
        self.identity = self.identity or found
        self.stranger = None if found == self.identity else found
        if self.stranger is None:
            self._proven_ms = at_ms

    def exchanged(self, meter: str, due_ms: int) -> Poll | None:
        """The poll that is missed because another device was heard last; None: it was not."""
        if self.stranger is None:
            return None
        other = Message("poll-other-meter", stranger=self.stranger, identity=self.identity or "")
        return Poll(meter, due_ms, missed="exchanged", flags=int(Quality.METER_EXCHANGED), detail=other)

    def flags(self, at_ms: int) -> int:
        """Quality bits of what is heard at that time: whether it is known who says it."""
        proven = self._proven_ms is not None and at_ms - self._proven_ms <= PROVEN_MS
        return 0 if proven else int(Quality.IDENTITY_UNPROVEN)


def _values(block: Block, raw: Raw, names: Collection[str]) -> dict[str, str]:
    """Points of these names; those that the device leaves blank are left out."""
    some = block.only(names)
    if not some.points:
        return {}
    decoder = some.decoder({})
    split = decoder.split(raw)
    values = zip(decoder.points, decoder.values(split, decoder.scales(split)), strict=True)
    return {point.name: str(value) for point, value in values if value not in (None, "", 0)}
