"""End of a commissioning: the configuration is written, the meter has its key, and the record is submitted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.commissioning.record.configured import record_of
from gateway.commissioning.record.content import CommissioningRecord
from gateway.commissioning.site_init import add_to_trust
from gateway.commissioning.wizard.config_edit import replace
from gateway.commissioning.wizard.draft import read_leniently
from gateway.commissioning.wizard.progress import Answer
from gateway.commissioning.wizard.steps import Commissioning
from gateway.config.device_keys import make_missing
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Written:
    """What a commissioning has left on disk: the configuration, where its old file stays (None: nothing changed), the
    names of new keys, and the record that is to be signed. ``open_``: why the gateway cannot run with it yet."""

    config: Config
    kept: Path | None
    keys: list[str]
    record: CommissioningRecord
    open_: ConfigError | None


def write(done: Commissioning, now: datetime, now_ms: int) -> Written:
    """The configuration with the meter's settings, its key and its trust entry.

    Args:
        done: all of its questions are answered.
        now: local time, for the name of the old file; ``now_ms`` the same as Unix ms, for keys and record.

    Raises ConfigError: the configuration cannot be, or a file cannot be written; the configuration is as it was.
    """
    draft = done.draft
    record(done, draft.config(), now_ms).event()  # what cannot be recorded changes nothing
    kept = replace(draft.path, draft.edited(), now, draft.config())
    config = read_leniently(draft.path, draft.edited())
    made = make_missing(config, now_ms // 1000)
    add_to_trust(config, made, now_ms // 1000)
    return Written(config, kept, made, record(done, config, now_ms), _open(draft.path))


def record(done: Commissioning, config: Config, now_ms: int) -> CommissioningRecord:
    """The record of a commissioning whose questions are all answered."""
    answers, progress = done.progress.answers, done.progress
    remarks = [str(answers["remarks"]), *_texts(answers.get("differing")), str(answers.get("no_display", ""))]
    return record_of(
        config,
        done.draft.meter,
        identity=progress.identity,
        by=str(answers["by"]),
        at_ms=now_ms,
        comparisons=progress.comparisons,
        plate_serial=str(answers["plate_serial"]),
        seals=_texts(answers["seals"]),
        position=str(answers["position"]),
        photos=done.photos,
        remarks="\n".join(filter(None, remarks)),
        reversed_phase=str(answers.get("reversed_phase", "")),
    )


def _texts(answer: Answer | None) -> list[str]:
    return answer if isinstance(answer, list) else []


def _open(path: Path) -> ConfigError | None:
    """What other meters of the file still need."""
    try:
        load_config(path)
    except ConfigError as error:
        return error
    return None
