"""Run of a commissioning: the meters one after the other, at a terminal or from an answers file."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path

import click

from gateway.acquisition.line_use import HandSession
from gateway.cli.commissioning import choice
from gateway.cli.commissioning.dialogue import TerminalDialogue
from gateway.cli.terminal.common import out, user
from gateway.clock import Clock
from gateway.commissioning.record.submit import submit
from gateway.commissioning.wizard import answers_file, reading
from gateway.commissioning.wizard.draft import Draft, read_leniently, text_at
from gateway.commissioning.wizard.findings import with_added
from gateway.commissioning.wizard.finish import write
from gateway.commissioning.wizard.live import Live, Reader
from gateway.commissioning.wizard.progress import Progress, ProgressFile, kept
from gateway.commissioning.wizard.questions import Dialogue, Question
from gateway.commissioning.wizard.steps import Commissioning, Surroundings
from gateway.config.model import Config
from gateway.errors import Declined, GatewayError
from gateway.key_errors import closest
from gateway.messages.message import Message
from gateway.process import control_socket, instance_lock


def at_terminal(config_path: Path, meter: str | None, *, anew: bool) -> None:
    """One meter, or those that are chosen. Raises Declined: it was stopped."""
    config = read_leniently(config_path, text_at(config_path))
    if meter is not None:
        _demand_meter(config, meter)
    terminal, session = TerminalDialogue(out), HandSession()
    at = meter or ""
    try:
        for at in [meter] if meter else choice.meters(config):
            _one(config_path, at, terminal, anew, session, confirm=lambda: click.confirm("write this", default=True))
    except (click.Abort, KeyboardInterrupt):  # at a question, or while a meter is read
        click.echo()
        command = " ".join(filter(None, ("meterseal commission", str(config_path), at)))
        raise Declined(Message("wizard-stopped", config=str(config_path), command=command)) from None


def from_file(config_path: Path, meter: str | None, answers: Path, *, anew: bool) -> None:
    """One meter, or all that the file has answers for."""
    config = read_leniently(config_path, text_at(config_path))
    if meter is not None:
        _demand_meter(config, meter)
    given, session = answers_file.read_answers(answers, config.meters), HandSession()
    if meter is not None and meter not in given:
        raise GatewayError(Message("wizard-no-answers", path=str(answers), meter=meter))
    for name in [meter] if meter else given:
        _one(config_path, name, given[name], anew, session, confirm=given[name].demand_all_used, given=given[name].keys)


def _demand_meter(config: Config, meter: str) -> None:
    known = (*config.meters, *(name for name in kept(config.data) if name not in config.meters))
    if meter in known:
        return
    if (other := closest(meter, known)) is not None:
        raise GatewayError(Message("wizard-no-meter-meant", config=str(config.path), meter=meter, other=other))
    raise GatewayError(Message("command-no-meter", config=str(config.path), meter=meter, meters=known))


def _one(
    path: Path,
    meter: str,
    dialogue: Dialogue,
    anew: bool,
    session: HandSession,
    confirm: Callable[[], bool],
    given: Collection[str] | None = None,
) -> None:
    """One meter from its first question to its record. ``given``: the keys that a file answers."""
    text = text_at(path)
    config = read_leniently(path, text)
    file = ProgressFile(config.data, meter, given)
    before = file.load()
    if anew:
        ProgressFile(config.data, meter).save(Progress(meter, added=before.added))
    if before.added is not None:
        text = with_added(text, before.added)
    out.rule(meter)
    around = Surroundings(
        _patient(reading.reader(config, Clock(), _waits, session), dialogue), reading.place, user().partition(" (")[0]
    )
    work = Commissioning(Draft(path, text, meter), file, dialogue, around)
    work.run()
    if not confirm():
        raise click.Abort
    now = datetime.now().astimezone()
    done = write(work, now, round(now.timestamp() * 1000))
    if done.kept is not None:
        click.echo(f"wrote {path}; the old file is {done.kept.name}")
    if done.keys:
        click.echo(f"made the keys of {', '.join(done.keys)}: enrol the gateway at its ledger again")
    if done.open_ is None:
        _reload(done.config)
    else:
        click.echo(f"{meter} is complete; before the gateway can run: {done.open_.problem}")
    signed = submit(done.config, done.record)
    file.remove()
    if signed.record is not None:
        click.echo(f"{meter} is in service; its record is signed: {signed.record}")
    else:
        click.echo(f"{meter} is in service; its record waits in {signed.waiting} and is signed when the gateway starts")


def _patient(read: Reader, dialogue: Dialogue) -> Reader:
    """At a terminal a meter that does not answer can be read once more, when its plug has been looked at."""

    def again(config: Config, meter: str, points: tuple[str, ...] = ()) -> Live:
        while True:
            try:
                return read(config, meter, points)
            except GatewayError as error:
                if not isinstance(dialogue, TerminalDialogue):
                    raise
                dialogue.refused(Question("read", meter), error)
                if not click.confirm("read it once more", default=True):
                    raise click.Abort from None

    return again


def _waits(meter: str, seconds: float) -> None:
    click.echo(f"{meter}: waiting {seconds:.1f} s, so that no late answer is taken for the next one", err=True)


def _reload(config: Config) -> None:
    """The running gateway, if there is one, takes the configuration."""
    if instance_lock.running(config.data) is None:
        return
    change = control_socket.give(config.data, "preview")
    if not change["nothing"]:
        control_socket.give(config.data, "reload", fingerprint=change["fingerprint"], user=user())
        click.echo(f"the gateway now uses {config.path}")
