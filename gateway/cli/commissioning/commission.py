"""Command `meterseal commission`: a meter is put into service, question by question, and a signed record says how."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click

from gateway.cli.commissioning.dialogue import TerminalDialogue
from gateway.cli.commissioning.record_view import demand_alone, record_options, view
from gateway.cli.terminal.common import CONFIG, out, user
from gateway.clock import Clock
from gateway.commissioning.wizard.draft import Draft, read_leniently, text_at
from gateway.commissioning.wizard.live import Live, Reader
from gateway.commissioning.wizard.progress import ProgressFile, kept
from gateway.commissioning.wizard.questions import Dialogue, Question
from gateway.config.key_errors import closest
from gateway.config.model import Config
from gateway.errors import Declined, GatewayError
from gateway.messages.message import Message
from gateway.process import control_socket, instance_lock


@click.command()
@CONFIG
@click.argument("meter", required=False)
@click.option(
    "--answers", type=click.Path(path_type=Path), metavar="FILE", help="Take the answers from FILE; ask nothing."
)
@click.option("--anew", is_flag=True, help="Forget what was answered before it was stopped.")
@record_options
def commission(
    config_path: Path,
    meter: str | None,
    answers: Path | None,
    anew: bool,
    show: bool,
    page: Path | None,
    language: str,
    force: bool,
    as_json: bool,
) -> None:
    """Put METER into service: compare it with its display, record ratios, direction, seals and photos, and sign it.

    Without METER: the meters of CONFIG one after the other, and those that a scan finds. Ctrl-C stops it; the answers
    are kept, and CONFIG is not touched before the end of a meter. A running gateway signs the record, else it waits in
    the data folder for the next start.

    With --show, --page or --json nothing is asked: they show the record of METER.
    """
    if show or page is not None or as_json:
        named = demand_alone(meter, answers is not None or anew)
        view(config_path, named, page=page, language=language, force=force, as_json=as_json)
        return
    from gateway.commissioning.wizard import answers_file

    config = read_leniently(config_path, text_at(config_path))
    if meter is not None:
        _demand_meter(config, meter)
    if answers is not None:
        given = answers_file.read_answers(answers, config.meters)
        if meter is not None and meter not in given:
            raise GatewayError(Message("wizard-no-answers", path=str(answers), meter=meter))
        for name in [meter] if meter else given:
            _one(config_path, name, given[name], anew, confirm=lambda: True)
        return
    terminal = TerminalDialogue(out)
    at = meter or ""
    try:
        for at in [meter] if meter else _chosen(config):
            _one(config_path, at, terminal, anew, confirm=lambda: click.confirm("write this", default=True))
    except click.Abort:
        raise Declined(Message("wizard-stopped", config=str(config_path), meter=at)) from None


def _demand_meter(config: Config, meter: str) -> None:
    if meter in config.meters:
        return
    if (other := closest(meter, config.meters)) is not None:
        raise GatewayError(Message("wizard-no-meter-meant", config=str(config.path), meter=meter, other=other))
    meters = tuple(config.meters)
    raise GatewayError(Message("command-no-meter", config=str(config.path), meter=meter, meters=meters))


def _chosen(config: Config) -> list[str]:
    """Which meters, by name; all of them by default."""
    begun = set(kept(config.data))
    for name, entry in config.meters.items():
        state = "  (begun)" if name in begun else ""
        out.print(f"  {name}: {config.profiles[name].device}, address {entry.address}{state}", highlight=False)
    given = click.prompt("which meter", default="all")
    if given == "all":
        return list(config.meters)
    _demand_meter(config, given)
    return [given]


def _one(path: Path, meter: str, dialogue: Dialogue, anew: bool, confirm: Callable[[], bool]) -> None:
    """One meter from its first question to its record."""
    from gateway.commissioning.record.submit import submit
    from gateway.commissioning.wizard import reading
    from gateway.commissioning.wizard.finish import write
    from gateway.commissioning.wizard.steps import Commissioning, Surroundings

    config = read_leniently(path, text_at(path))
    file = ProgressFile(config.data, meter)
    if anew:
        file.remove()
    out.rule(meter)
    around = Surroundings(
        _patient(reading.reader(config, Clock(), _waits), dialogue), reading.place, user().partition(" (")[0]
    )
    work = Commissioning(Draft(path, text_at(path), meter), file, dialogue, around)
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

    def again(config: Config, meter: str) -> Live:
        while True:
            try:
                return read(config, meter)
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
