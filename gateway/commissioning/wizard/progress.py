"""Progress of a commissioning that was stopped: one file a meter in the data folder, removed when it is done."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from gateway.commissioning.record.content import Comparison, Shown
from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.file_owner import as_its_folder
from ledger_client.durable_files import whole_file

FOLDER: Final = "commissioning"
_FORMAT: Final = "meterseal-commissioning-progress/1"

Answer = str | bool | list[str]


@dataclass
class Progress:
    """What has been answered for one meter. ``identity``: of the device that was compared; ``added``: of a meter that
    the configuration does not have yet, the keys of its bus and its own."""

    meter: str
    answers: dict[str, Answer] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    identity: str | None = None
    added: dict[str, Any] | None = None

    def forget_device(self) -> None:
        """Forget what was seen at the device: another one is there, or it is seen anew."""
        self.comparisons.clear()
        for key in ("differing", "no_display", "reversed_phase", "plate_serial", "other_serial"):
            self.answers.pop(key, None)

    def forget(self, keys: Collection[str]) -> None:
        """Forget what was answered to these questions."""
        if "display" in keys:
            self.comparisons.clear()
            keys = {*keys, "differing", "no_display"}
        if "plate_serial" in keys:
            keys = {*keys, "other_serial"}
        for key in keys:
            self.answers.pop(key, None)


class ProgressFile:
    """The file of one meter. It is written whole after each answer, so that nothing typed is lost.

    ``answered``: the questions that an answers file answers. It goes before what was kept, and nothing is kept of it.
    """

    def __init__(self, data: Path, meter: str, answered: Collection[str] | None = None) -> None:
        self.path, self._meter, self._answered = data / FOLDER / f"{meter}.json", meter, answered

    def load(self) -> Progress:
        """What was kept; nothing where nothing was. Raises GatewayError: the file cannot be read."""
        progress = self._kept()
        progress.forget(self._answered or ())
        return progress

    def _kept(self) -> Progress:
        try:
            fields = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return Progress(self._meter)
        except OSError as error:
            raise GatewayError(
                Message("wizard-progress-unreadable", path=str(self.path), error=os_error(error))
            ) from None
        except ValueError:
            raise GatewayError(Message("wizard-progress-damaged", path=str(self.path))) from None
        try:
            return _progress(self._meter, fields)
        except (LookupError, TypeError, ValueError, ArithmeticError):
            raise GatewayError(Message("wizard-progress-damaged", path=str(self.path))) from None

    def save(self, progress: Progress) -> None:
        """Durable when this returns. Raises GatewayError."""
        if self._answered is not None:
            return
        fields = {
            "format": _FORMAT,
            "meter": progress.meter,
            "answers": progress.answers,
            "identity": progress.identity,
            "added": progress.added,
            "comparisons": [_comparison_fields(each) for each in progress.comparisons],
        }
        try:
            make_folder(self.path.parent)
            with whole_file(self.path) as file:
                file.write(json.dumps(fields, ensure_ascii=False, indent=1).encode())
            as_its_folder(self.path)
        except OSError as error:
            raise GatewayError(Message("path-not-writable", path=str(self.path), error=os_error(error))) from None

    def remove(self) -> None:
        """Forget what was kept."""
        self.path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """A folder and those above it, with the owner of the one that there was. Raises OSError."""
    if not folder.exists():
        make_folder(folder.parent)
        folder.mkdir()
        as_its_folder(folder)


def kept(data: Path) -> list[str]:
    """The meters whose commissioning was begun and not ended."""
    return sorted(path.stem for path in (data / FOLDER).glob("*.json") if not path.name.startswith("."))


def _comparison_fields(each: Comparison) -> dict[str, Any]:
    value = str(each.value) if isinstance(each.value, Decimal) else each.value
    kind = "decimal" if isinstance(each.value, Decimal) else ""
    return asdict(each) | {
        "value": value,
        "kind": kind,
        "request": each.request.hex(),
        "answer": each.answer.hex(),
    }


def _progress(meter: str, fields: Mapping[str, Any]) -> Progress:
    if fields["format"] != _FORMAT or fields["meter"] != meter:
        raise ValueError("another file")
    answers, identity = fields["answers"], fields["identity"]
    if not isinstance(answers, dict) or not all(isinstance(a, str | bool | list) for a in answers.values()):
        raise TypeError("answers")
    if not isinstance(identity, str | None) or not isinstance(fields["added"], dict | None):
        raise TypeError("identity or added")
    return Progress(meter, answers, [_comparison(each) for each in fields["comparisons"]], identity, fields["added"])


def _comparison(fields: Mapping[str, Any]) -> Comparison:
    value: Shown = Decimal(fields["value"]) if fields["kind"] == "decimal" else fields["value"]
    return Comparison(
        point=fields["point"],
        unit=fields["unit"],
        value=value,
        display=fields["display"],
        request=bytes.fromhex(fields["request"]),
        answer=bytes.fromhex(fields["answer"]),
        at_ms=fields["at_ms"],
        verdict=fields["verdict"],
    )
