"""Block contents: the answered blocks of one meter, each decoded once, and how their values become those of a reading.

A line asks after each block whether a counter is doubtful, and the reading is made when the whole poll is over. What
was decoded for the first question is kept for the second: of one poll, by the very answer that it was decoded from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.acquisition import validation
from gateway.devices.blocks import Block, Content, Decoder, Split
from gateway.devices.points import Point, Ratio
from gateway.devices.scaling import Scales
from gateway.fieldbus.specs import BlockAnswer

MOST_FORMS = 256  # variants of a meter's blocks


@dataclass(slots=True)
class BlockForm:
    """How one block is decoded, and how its values become those of a reading."""

    block: Block
    decoder: Decoder
    names: tuple[str, ...]
    rows: tuple[tuple[Point, bool], ...]
    """Each point, and whether it can earn flags of its own."""
    counters: tuple[tuple[int, Point], ...]
    raising: tuple[Point, ...]
    units: tuple[str | None, ...]
    plain: bool
    """All of its values are recorded, and none can earn flags of its own or raise any."""

    @classmethod
    def of(cls, block: Block, factors: Mapping[str, Ratio], hidden: set[str | None]) -> BlockForm:
        """The form of a block. ``factors``: the meter's configured ``ct`` and ``pt``; ``hidden``: points that are read
        and not recorded."""
        decoder = block.decoder(factors)
        points = decoder.points
        names = tuple(point.name for point in points)
        rows = tuple((point, validation.earns(point)) for point in points)
        raising = tuple(point for point in points if point.raises)
        return cls(
            block=block,
            decoder=decoder,
            names=names,
            rows=rows,
            counters=tuple((n, point) for n, point in enumerate(points) if point.kind == "counter"),
            raising=raising,
            units=tuple(point.unit for point in points),
            plain=hidden.isdisjoint(names) and not raising and not any(earns for _, earns in rows),
        )


@dataclass(slots=True)
class BlockContents:
    """One answer, decoded: ``contents`` has a value or None for each of the form's points, as ``scales`` say."""

    answer: BlockAnswer
    form: BlockForm
    split: Split
    register_scales: Scales
    """Those of the block's own scale registers."""
    scales: Scales
    contents: list[Content]

    @property
    def completed_ms(self) -> int:
        """When the answer was complete."""
        return self.answer.completed_ms


class BlockDecoder:
    """Decodes the blocks of one meter. Belongs to the thread of the lines."""

    def __init__(self, factors: Mapping[str, Ratio], hidden: set[str | None]) -> None:
        """``factors`` and ``hidden`` as for ``BlockForm.of``."""
        self._factors, self._hidden = factors, hidden
        self._forms: dict[int, BlockForm] = {}  # by the block's key
        self._kept: dict[int, BlockContents] = {}  # of the poll under way, by the block's key

    def look(self, answer: BlockAnswer, scales: Scales) -> BlockContents | None:
        """The contents of a block that has just answered, if it holds a counter; kept for ``decode``.

        ``scales``: those of the poll before; what the block says itself goes before them.
        """
        form = self._form(answer.block)
        if not form.counters:
            return None
        split = form.decoder.split(answer.raw)
        read_here = form.decoder.scales(split)
        scales = {**scales, **read_here}
        found = BlockContents(answer, form, split, read_here, scales, form.decoder.values(split, scales))
        self._kept[answer.block.key] = found
        return found

    def decode(self, answers: Sequence[BlockAnswer]) -> tuple[list[BlockContents], Scales]:
        """The contents of all answers of one poll, and its scales; a block's own go before those of other blocks.

        What was kept of an answer is decoded again only if other scales hold than at the first look.
        """
        found = [self._parted(answer) for answer in answers]
        self._kept.clear()
        scales: Scales = found[0].register_scales if len(found) == 1 else _merged(found)
        for block in found:
            mine = {**scales, **block.register_scales} if block.register_scales and len(found) > 1 else scales
            if block.scales != mine or not block.contents:
                block.scales, block.contents = mine, block.form.decoder.values(block.split, mine)
        return found, scales

    def forget(self) -> None:
        """The poll under way gives no reading."""
        self._kept.clear()

    def _parted(self, answer: BlockAnswer) -> BlockContents:
        """The answer as it was kept, or taken apart and not decoded yet."""
        kept = self._kept.get(answer.block.key)
        if kept is not None and kept.answer is answer:
            return kept
        form = self._form(answer.block)
        split = form.decoder.split(answer.raw)
        return BlockContents(answer, form, split, form.decoder.scales(split), {}, [])

    def _form(self, block: Block) -> BlockForm:
        """The block's form, prepared when it is first met; an equal block of a later plan takes it over."""
        form = self._forms.get(block.key)
        if form is None:
            if len(self._forms) >= MOST_FORMS:
                self._forms.clear()
            before = next((key for key, known in self._forms.items() if known.block == block), None)
            form = BlockForm.of(block, self._factors, self._hidden) if before is None else self._forms.pop(before)
            self._forms[block.key] = form
        return form


def _merged(found: Sequence[BlockContents]) -> Scales:
    return {key: scale for block in found for key, scale in block.register_scales.items()}
