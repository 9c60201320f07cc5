"""Steps of a commissioning, one after the other, each answer kept at once; without a terminal.

A step that was answered before it stopped is not asked again. The configuration is not touched here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from gateway.commissioning.record.content import Photo
from gateway.commissioning.wizard import questions
from gateway.commissioning.wizard.compare import Comparing
from gateway.commissioning.wizard.direction import Place, hints, phase_hints
from gateway.commissioning.wizard.draft import Draft, open_settings
from gateway.commissioning.wizard.live import Live, Reader
from gateway.commissioning.wizard.progress import Progress, ProgressFile
from gateway.commissioning.wizard.questions import WORD_ORDERS, Dialogue, Question
from gateway.config.bus import ROLES
from gateway.config.limits import limits_in_force
from gateway.config.model import Config
from gateway.devices.knowledge.device_numbers import device_numbers
from gateway.errors import GatewayError
from gateway.messages.message import Message

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a commissioning takes from outside: how a meter is read, when and where it stands, and whose hands it has.

    ``user``: who is asked for as the one who commissions, if nothing else is said.
    """

    read: Reader
    place: Callable[[Config], Place]
    user: str


class Commissioning:
    """The commissioning of one meter of a draft."""

    def __init__(self, draft: Draft, file: ProgressFile, dialogue: Dialogue, around: Surroundings) -> None:
        self.draft, self._file, self._dialogue, self._around = draft, file, dialogue, around
        self.progress: Progress = file.load()
        self.photos: tuple[Photo, ...] = ()
        if self.progress.answers:
            n = len(self.progress.answers) + len(self.progress.comparisons)
            dialogue.tell(Message("wizard-goes-on", meter=draft.meter, n=n))

    def run(self) -> None:
        """All steps. Afterwards the draft has the settings, and ``progress`` all that the record holds.

        Raises GatewayError: an answer that a file gives is not to be taken, or the meter cannot be read.
        """
        self._asked("by", questions.line, default=self._around.user)
        self._ratios()
        self._word_order()
        live = self._phases(self._compared())
        self._role()
        self._direction(live)
        self._limits()
        self._plate(live)
        self._listed("seals", questions.line)
        self._asked("position", questions.line, default="")
        self._photos()
        self._asked("label", questions.line, default=self._written("label") or "")
        self._asked("remarks", questions.remark, default="")
        self._set("label", str(self.progress.answers["label"]), unless="")

    def read(self, points: tuple[str, ...] = ()) -> Live:
        """What the meter answers now, with the settings so far."""
        return self._around.read(self.draft.config(), self.draft.meter, points)

    def _word_order(self) -> None:
        """Both readings beside each other, where only the device can tell which is right."""
        if "word_order" not in self._open():
            return
        if "word_order" not in self.progress.answers:
            for order in WORD_ORDERS:
                self._set("word_order", order)
                self._dialogue.tell(Message("wizard-word-order", meter=self.draft.meter, order=order))
                self._dialogue.show(self.draft.meter, self.read())
        self._set("word_order", self._asked("word_order", _of(WORD_ORDERS), choices=WORD_ORDERS))

    def _ratios(self) -> None:
        """Transformer ratios: those that the profile multiplies by; of the nameplates, where the meter has its own."""
        profile = self._profile()
        for key in sorted({*profile.factors, *dict(profile.ratios)}):
            written = self._written(key)
            default = None if written is None else str(written)
            if key in profile.factors:
                self._set(key, self._asked(key, questions.ratio, default=default))
            else:
                self._set(key, self._asked(key, questions.nameplate, default=default or ""), unless="")

    def _compared(self) -> Live:
        live = self.read()
        if self.progress.identity not in (None, live.identity):
            was, now = str(self.progress.identity), str(live.identity)
            self._dialogue.tell(Message("wizard-other-device", meter=self.draft.meter, was=was, now=now))
            self.progress.forget_device()
        self.progress.identity = live.identity
        return Comparing(self.progress, self._save, self._dialogue, self.read).run(live)

    def _phases(self, live: Live) -> Live:
        """A phase that looks reversed is turned round, or somebody says why it is right as it is."""
        key = "reversed_phase"
        while key not in self.progress.answers and (found := phase_hints(live.numbers)):
            for sentence in found:
                self._dialogue.tell(sentence)
            if not self._asked(key, questions.line, default="", facts={"why": found[0]}):
                del self.progress.answers[key]
                live = live.with_newer(self.read())
        if self._dialogue.answers(key):
            self._asked(key, questions.line)
        return live

    def _role(self) -> None:
        role = self._asked("role", _of(ROLES), default=self._written("role"), choices=ROLES)
        self._set("role", role)

    def _direction(self, live: Live) -> None:
        """The role is known by now, so that what the meter shows can be held against it."""
        place = self._around.place(self.draft.config())
        found = hints(str(self.progress.answers["role"]), live.numbers, place, self._profile().positive)
        for sentence in found:
            self._dialogue.tell(sentence)
        written = bool(self._written("reversed"))
        default = None if found and not written else ("yes" if written else "no")
        self._set("reversed", self._asked("reversed", questions.yes, default=default), unless=False)

    def _limits(self) -> None:
        """Limits of values; those that are written stay but for the points that are answered."""
        config, name = self.draft.config(), self.draft.meter
        profile, points = config.profiles[name], config.meters[name].points
        if "limits" not in self.progress.answers and (known := config.limits.get(name)):
            self._dialogue.tell(limits_in_force(name, profile, known))
        self._listed("limits", lambda text: questions.limit(text, points, profile))
        given = questions.limit_keys(self.progress.answers["limits"])  # type: ignore[arg-type]
        if given:
            self._set("limits", {**(self._written("limits") or {}), **given})

    def _plate(self, live: Live) -> None:
        """The number on the plate is that of the device that answers, or somebody says that this is right. Of a device
        that tells no number it is kept beside what the device says."""
        identity = live.identity

        def check(text: str) -> str:
            plate = questions.line(text)
            if plate and identity and device_numbers(identity) and not questions.same_serial(plate, identity):
                facts = {"plate": plate, "identity": identity}
                if not self._asked("other_serial", questions.yes, default="no", facts=facts):
                    del self.progress.answers["other_serial"]
                    raise GatewayError(Message("wizard-other-serial", plate=plate, identity=identity))
            return plate

        facts = {"identity": identity or ""}
        self._asked("plate_serial", check, default="", facts=facts)

    def _photos(self) -> None:
        self._listed("photos", _photo_path)
        while True:  # one may be gone since it was named
            try:
                self.photos = tuple(questions.photo(p) for p in self.progress.answers["photos"])  # type: ignore[union-attr]
                return
            except GatewayError as error:
                self._dialogue.refused(Question("photos", self.draft.meter), error)
                del self.progress.answers["photos"]
                self._listed("photos", _photo_path)

    # asking

    def _asked(
        self,
        key: str,
        check: Callable[[str], T],
        *,
        default: str | None = None,
        choices: tuple[str, ...] = (),
        facts: dict[str, Any] | None = None,
    ) -> T:
        """The checked answer, asked for unless it is there already."""
        if key in self.progress.answers:
            return self.progress.answers[key]  # type: ignore[return-value]
        question = Question(key, self.draft.meter, default, choices, facts=facts or {})
        while True:
            text = self._dialogue.ask(question)
            try:
                checked = check(text if text.strip() else default or "")
            except GatewayError as error:
                self._dialogue.refused(replace(question, default=None), error)
                continue
            self.progress.answers[key] = checked  # type: ignore[assignment]
            self._save()
            return checked

    def _listed(self, key: str, check: Callable[[str], str]) -> None:
        """Answers until one is empty."""
        if key in self.progress.answers:
            return
        given: list[str] = []
        while True:
            question = Question(key, self.draft.meter, "", facts={"n": len(given)})
            text = self._dialogue.ask(question).strip()
            if not text:
                break
            try:
                given.append(check(text))
            except GatewayError as error:
                self._dialogue.refused(question, error)
        self.progress.answers[key] = given
        self._save()

    def _save(self) -> None:
        self._file.save(self.progress)

    def _set(self, key: str, value: Any, unless: Any = None) -> None:
        """A setting of the draft; ``unless``: what the key means where it is not written, which then stays so."""
        if value == unless and self._written(key) is None:
            self.draft.settings.pop(key, None)
        else:
            self.draft.settings[key] = value

    def _written(self, key: str) -> Any:
        return self.draft.written.get(key)

    def _open(self) -> list[str]:
        return open_settings(self._profile(), self.draft.written)

    def _profile(self) -> Any:
        return self.draft.profile


def _photo_path(text: str) -> str:
    questions.photo(text)
    return text


def _of(words: tuple[str, ...]) -> Callable[[str], str]:
    return lambda text: questions.choice(text, words)
