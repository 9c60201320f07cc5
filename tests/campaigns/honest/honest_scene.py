"""A gateway that nobody forges: the shipped journal; its meters, clock and disk do as the teller says.

Time passes only as a tale advances it; its keys are enrolled at a running ledger, which gets its batches at the end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.cli.demo import finish
from gateway.commissioning import site_init
from gateway.config.device_keys import REQUEST_FILE, enrol_request, load_keys, write_request
from gateway.config.load import load_config
from gateway.recording.journal import Journal
from gateway.recording.rules import Rules
from gateway.records import PollResult
from gateway.storage.database import Database
from ledger_client.formats.cose_key import PrivateKey, save_private_key
from ledger_client.formats.record import Event, parse_record
from ledger_client.transparency.ledger.enroll import enroll
from tests.campaigns.honest.honest_history import machine_at
from tests.support.clock_history import FrailStore
from tests.support.gateways.sites import believe, init_site
from tests.support.processes import EmbeddedLedger
from tests.support.samples import finished

Tale = Callable[["Scene"], None]
Answers = Callable[[str, int], str | None]
"""What becomes of a meter's poll that was due then (ms of the schedule's clock): None: it answers, else why not."""


class Scene:
    """One gateway, from its commissioning on."""

    def __init__(
        self, folder: Path, ledger: EmbeddedLedger, began_s: float, seed: int, periods: Mapping[str, str]
    ) -> None:
        """``periods``: of its meters, where they are not 10 s."""
        made: dict[str, Any] = {"gateway": folder.name, "now_s": int(began_s) - 60}
        path = init_site(folder, ledger=ledger.name, ledger_url=ledger.url, **made).path
        text = path.read_text()
        for meter, every in periods.items():
            head, name, tail = text.partition(f'name = "{meter}"')
            assert name
            text = head + name + tail.replace('every = "10s"', f'every = "{every}"', 1)
        path.write_text(text)
        self.loaded, self.ledger = load_config(path), ledger
        believe(ledger.folder, self.loaded)
        self.machine, self.chance = machine_at(began_s), random.Random(seed)
        self.due: dict[str, int] = {}
        self.lines: list[Callable[[], None]] = []

    def begin(self, **rules: object) -> None:
        """Start the gateway."""
        self.store = FrailStore(self.loaded.database, self.machine)
        self.clock = self.machine.clock(self.store.records.latest_ms())
        made = replace(self.rules(), **rules)  # type: ignore[arg-type]
        self.journal = Journal(self.store, load_keys(self.loaded), made, self.clock, self.chance.randbytes(8))
        anchor_ms = self.journal.open()
        self.due, self.lines = dict.fromkeys(self.journal.rules.periods_ms, anchor_ms), []

    def rules(self) -> Rules:
        """What its configuration says."""
        return Rules.of(self.loaded)

    def live(self, seconds: float, answers: Answers = lambda *_: None, *, step_s: float = 1.0) -> None:
        """Time passes, and every poll is over a moment after it was due. Each of ``lines`` (honest_lines.py), to which
        a meter of ``due`` may be given, is called at each step."""
        end_s = self.machine.up_s + seconds
        while self.machine.up_s < end_s:
            self.machine.passes(step_s)
            for meter in [*self.due]:
                while (due_ms := self.due[meter]) <= (now_ms := self.clock.schedule_ms()):
                    over = due_ms + self.journal.rules.periods_ms[meter] <= now_ms  # as fieldbus.schedule gives it up
                    self.over(meter, answers(meter, due_ms) or ("skipped" if over else None))
            for line in self.lines:
                line()
            self.journal.keep_time()

    def over(self, meter: str, reason: str | None) -> None:
        """The meter's next poll is over."""
        due_ms = self.due[meter]
        if reason is None:
            self.journal.poll(finished(meter, due_ms, self.clock, value=due_ms // 1000))
        else:
            self.journal.poll(PollResult(meter, due_ms, None, None, reason))
        self.due[meter] = due_ms + self.journal.rules.periods_ms[meter]

    def renew_keys(self, *names: str) -> None:
        """While it does not run these meters' keys (or ``statement``) are replaced; ledger and verifiers know the new
        ones."""
        now_s, before = self.machine.wall_ms // 1000, load_keys(self.loaded).statement
        for name in names:
            (self.loaded.keys / f"{name}.pem").unlink()
            save_private_key(self.loaded.keys / f"{name}.pem", PrivateKey.generate())
        site_init.add_to_trust(self.loaded, names, now_s)
        request = self.loaded.keys / REQUEST_FILE
        write_request(request, enrol_request(self.loaded, load_keys(self.loaded), now_s, {}, before))
        enroll(self.ledger.folder, request)

    def kill(self) -> None:
        """SIGKILL."""
        self.store.close()

    def stop(self) -> None:
        """An orderly stop."""
        self.journal.finish()
        self.store.close()

    def off(self, seconds: float) -> None:
        """The gateway is not there for so long."""
        self.machine.passes(seconds)

    def events(self) -> set[str]:
        """The names of all events that were recorded, and the codes of alarms."""
        store = Database(self.loaded.database, read_only=True)
        bodies = [parse_record(row.data).body for row in store.records.rows(1, 1 << 60) if row.kind == "event"]
        store.close()
        events = [body for body in bodies if isinstance(body, Event)]
        return {body.name for body in events} | {str(body.fields.get("code")) for body in events}

    def anchored(self) -> None:
        """What is not sealed is, and the ledger gets what it has not."""
        finish.finish(self.loaded, within_s=60)


@dataclass(frozen=True, slots=True)
class TimedTale:
    """A tale, how many seconds it takes at most, what it must have led to (events, or codes of alarms), the periods of
    its meters where they are not 10 s, and the fields that an audit must list as changed, with what brought them."""

    tale: Tale
    takes_s: float
    led_to: frozenset[str] = frozenset()
    periods: Mapping[str, str] = field(default_factory=dict)
    changed: frozenset[tuple[str, bool | None]] = frozenset()
