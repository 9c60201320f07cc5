"""Comparison step of a commissioning: what the display shows for energy and one other point, held against the wire."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from gateway.commissioning.record.content import Comparison, Verdict
from gateway.commissioning.record.rows import plain
from gateway.commissioning.wizard import questions
from gateway.commissioning.wizard.display import Judged, Typed, judged, typed
from gateway.commissioning.wizard.live import Live, LiveValue
from gateway.commissioning.wizard.progress import Progress
from gateway.commissioning.wizard.questions import Dialogue, Question
from gateway.errors import GatewayError
from gateway.messages.message import Message

OFFERED = 6
"""Most points of a kind that are asked for, until one is on the display."""
RECORD = "differs"
"""Typed in place of a number: record the last one as it is."""


class Comparing:
    """Asks until a register of energy and one other point were compared, as far as the meter has them: of a device that
    counts no energy one point."""

    def __init__(
        self, progress: Progress, save: Callable[[], None], dialogue: Dialogue, read: Callable[[tuple[str, ...]], Live]
    ) -> None:
        self._progress, self._save, self._dialogue, self._read = progress, save, dialogue, read

    def run(self, live: Live) -> Live:
        """``live``: the values to begin with. Returns the last that were read."""
        energy, others = live.to_compare()
        kinds = [kind for kind in (energy, others) if kind]
        if not others and len(energy) > 1:  # nothing but registers: two of them
            kinds = [energy[:1], energy[1:]]
        shown = False
        for kind in kinds:
            points = [value.point for value in kind[:OFFERED]]
            if self._done(points) or "no_display" in self._progress.answers:
                continue
            if not shown:
                self._dialogue.show(self._progress.meter, live)
                shown = True
            live = self._one_of(points, live)
        return live

    def _done(self, points: list[str]) -> bool:
        return bool({each.point for each in self._progress.comparisons} & set(points))

    def _one_of(self, points: list[str], live: Live) -> Live:
        """One of these points compared, or the reason why there is nothing to compare."""
        while True:
            for point in points:
                value = live.values.get(point)
                if value is not None and value.number is not None:
                    taken, live = self._compared(value, live)
                    if taken:
                        return live
            if reason := self._reason(self._question("no_display", None, default="")):
                self._progress.answers["no_display"] = reason
                self._save()
                return live

    def _compared(self, before: LiveValue, live: Live) -> tuple[bool, Live]:
        """Whether a number was typed and booked; and the newest values."""
        last: tuple[Typed, LiveValue] | None = None
        while True:
            text = self._dialogue.ask(self._question("display", before, default="" if last is None else None)).strip()
            if text == RECORD and last is not None:
                self._differing(*last)
                return True, live
            if not text:
                if last is None:
                    return False, live
                continue
            try:
                shown = typed(text, before.unit)
            except GatewayError as error:
                self._dialogue.refused(self._question("display", before), error)
                continue
            number = before.number or Decimal(0)
            if judged(shown, number, number).agrees:
                self._book(before, shown, "agrees")
                return True, live
            live = live.with_newer(self._read((before.point,)))  # it may have counted meanwhile
            after = live.values.get(before.point, before)
            found = judged(shown, number, after.number if after.number is not None else number)
            nearest = min((before, after), key=lambda value: abs((value.number or Decimal(0)) - shown.number))
            if found.agrees:
                self._book(nearest, shown, "agrees")
                return True, live
            last, before = (shown, nearest), after
            self._dialogue.refused(self._question("display", before), GatewayError(_difference(shown, after, found)))

    def _differing(self, shown: Typed, value: LiveValue) -> None:
        """Recorded as it is, with the reason among the remarks."""
        while not (reason := self._reason(self._question("differs", value))):
            pass
        differing = self._progress.answers.setdefault("differing", [])
        assert isinstance(differing, list)
        differing.append(f"{value.point}: {reason}")
        self._book(value, shown, "differs")

    def _reason(self, question: Question) -> str:
        """A text that a record can hold; "" where none was given."""
        while True:
            text = self._dialogue.ask(question)
            try:
                return questions.line(text)
            except GatewayError as error:
                self._dialogue.refused(question, error)

    def _book(self, value: LiveValue, shown: Typed, verdict: Verdict) -> None:
        self._progress.comparisons.append(
            Comparison(
                point=value.point,
                unit=value.unit,
                value=value.value,
                display=shown.text,
                request=value.request,
                answer=value.answer,
                at_ms=value.at_ms,
                verdict=verdict,
            )
        )
        self._save()

    def _question(self, key: str, value: LiveValue | None, default: str | None = None) -> Question:
        if value is None:
            return Question(key, self._progress.meter, default)
        return Question(key, self._progress.meter, default, point=value.point, facts={"value": value})


def _difference(shown: Typed, value: LiveValue, found: Judged) -> Message:
    """Why a display does not show what was read."""
    read = f"{value.number:f}" if value.number is not None else "—"
    point, unit, text = value.point, value.unit, shown.text
    if found.power_of_ten is None:
        if found.times is None:
            return Message("wizard-differs", point=point, typed=text, read=read, unit=unit)
        times = plain(float(found.times), 4)
        return Message("wizard-differs-times", point=point, typed=text, read=read, unit=unit, times=times)
    n, more = 10 ** abs(found.power_of_ten), found.power_of_ten > 0
    if unit.endswith("Wh"):
        if more:
            return Message("wizard-thousand-more", point=point, typed=text, read=read, unit=unit, times=n)
        return Message("wizard-thousand-less", point=point, typed=text, read=read, unit=unit, times=n)
    if more:
        return Message("wizard-prefix-more", point=point, typed=text, read=read, unit=unit, times=n)
    return Message("wizard-prefix-less", point=point, typed=text, read=read, unit=unit, times=n)
