"""Commands that run a ledger or a witness: init, serve, enroll, revoke, show, rotate, backup, witness."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ledger_client import log_lines
from ledger_client.cli.terminal.options import FORCE, YES, UsageError, agreed, broker_login, moment
from ledger_client.times import rfc3339

if TYPE_CHECKING:
    from ledger_client.transparency.ledger.held_key import TokenPlace

_RATE = click.FloatRange(0, 1e6)
_F = TypeVar("_F", bound=Callable[..., None])


def _in_token(option: str) -> Callable[[_F], _F]:
    """The three options that say which key of which token it is."""

    def decorate(command: _F) -> _F:
        command = click.option("--pin-file", metavar="FILE", help="and the file that holds the PIN")(command)
        command = click.option("--pkcs11-module", metavar="PATH", help="the token's PKCS#11 library")(command)
        text = "have the ledger's key in a token: pkcs11:token=LABEL;object=NAME"
        return click.option(option, metavar="URI", help=text)(command)

    return decorate


def _place(uri: str | None, module: str | None, pin_file: str | None) -> TokenPlace | None:
    from ledger_client.transparency.ledger.held_key import TokenPlace

    return None if uri is None else TokenPlace.given(uri, module, pin_file)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="the ledger's name, for ever  [default: demo-ledger]")
@click.option("--database", metavar="URL", help="keep its log in PostgreSQL: postgresql://USER@HOST:PORT/DATABASE")
@click.option("--password-file", metavar="FILE", help="and the file that holds the password there")
@_in_token("--key-uri")
def init(
    folder: Path, name: str | None, database: str | None, password_file: str | None,
    key_uri: str | None, pkcs11_module: str | None, pin_file: str | None,
) -> None:  # fmt: skip
    """Make a new ledger in DIR, for `enroll` and `show` before it is served."""
    from ledger_client.transparency.ledger.directory import make_dir

    made = make_dir(folder, name, database, password_file, _place(key_uri, pkcs11_module, pin_file))
    click.echo(f"made {folder}: ledger {made}; serve it: meterseal-ledger serve {folder}")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--listen", default="127.0.0.1:8700", show_default=True, metavar="HOST:PORT", help="port 0: any free one")
@click.option("--cert", metavar="PEM", help="serve https with this certificate")
@click.option("--key", metavar="PEM", help="and this private key")
@click.option("--client-ca", metavar="PEM", help="let in only clients with a certificate by this CA (mutual TLS)")
@click.option("--mqtt", metavar="mqtt[s]://HOST:PORT", help="also take statements through this broker")
@broker_login
@click.option("--name", metavar="NAME", help="the ledger's name, chosen at its first start  [default: demo-ledger]")
@click.option("--metrics", metavar="HOST:PORT", help="figures for Prometheus at an address of their own")
@click.option("--rate", type=_RATE, default=200, show_default=True, help="requests/s of one address; 0: any number")
@click.option("--gateway-rate", type=_RATE, default=100, show_default=True, help="statements/s of one gateway; 0: any")
@click.option("--connections", type=click.IntRange(1, 65536), default=512, show_default=True, help="open at once")
@click.option(
    "--demo-clock", metavar="FILE", type=click.Path(path_type=Path), help="of demo-…: its clock is what FILE says"
)
@click.option("--proxy", multiple=True, metavar="ADDRESS", help="a proxy whose X-Forwarded-For is believed")
@click.option("--witness", "witnesses", multiple=True, metavar="URL=VKEY", help="who is asked to cosign each minute")
@_in_token("--key-uri")
def serve(
    folder: Path, listen: str, mqtt: str | None, name: str | None, metrics: str | None, proxy: tuple[str, ...],
    witnesses: tuple[str, ...],
    rate: float, gateway_rate: float, connections: int, demo_clock: Path | None,
    key_uri: str | None, pkcs11_module: str | None, pin_file: str | None, **options: str | None,
) -> None:  # fmt: skip
    """Serve the ledger in DIR until SIGTERM or Ctrl-C; the first start makes it."""
    from ledger_client.transparency.server.demo_clock import clock_of
    from ledger_client.transparency.server.endpoints import Doors, file_options  # need a web server; verifying does not
    from ledger_client.transparency.server.main import Serving
    from ledger_client.transparency.server.main import serve as run

    log_lines.start()
    https_options, broker = file_options(options)
    doors = Doors(listen, **https_options, mqtt=mqtt, broker=broker)
    now = time.time if demo_clock is None else clock_of(demo_clock, name)
    place = _place(key_uri, pkcs11_module, pin_file)
    serving = Serving(name, metrics, rate, gateway_rate, connections, proxy, witnesses, now, place)
    run(folder, doors, serving, lambda line: print(line, flush=True))


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("request", metavar="FILE.ENROL", type=click.Path(path_type=Path))
@click.option("--add-key", is_flag=True, help="let in a known one's new key that no old one has signed")
@click.option("--hardware", "kids", multiple=True, metavar="KID", help="you have looked: this key is in hardware")
@click.option("--evidence", "seen", multiple=True, metavar="TEXT", help="what you looked at; one for each --hardware")
@YES
def enroll(folder: Path, request: Path, add_key: bool, kids: tuple[str, ...], seen: tuple[str, ...], yes: bool) -> None:
    """Let in the gateway, with its meters, or the party that made a request; asks first. May run while it serves."""
    from ledger_client.transparency.ledger import enroll as enrolling

    if len(kids) != len(seen) or len(set(kids)) != len(kids):
        way_out = "give each --hardware KID once, with an --evidence TEXT of its own, in the same order"
        raise UsageError(f"--hardware is given {len(kids)} times, --evidence {len(seen)} times", way_out)
    hardware = dict(zip(kids, seen, strict=True))
    proposal = enrolling.propose(folder, request, add_key=add_key, hardware=hardware)
    for line in proposal.in_words():
        click.echo(line)
    if not proposal.changes:
        return
    agreed("compare the thumbprints with their owner by another way than the file came", yes=yes)
    enrolling.let_in(folder, proposal, add_key=add_key)
    click.echo(f"{proposal.whose} enrolled: {len(proposal.new)} new keys")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("whose", metavar="GATEWAY|party/PARTY")
@click.option("--kid", metavar="KID", help="which key, if there are several; show lists them")
@click.option("--reason", metavar="TEXT", help="why, for whoever reads a refusal")
@click.option("--at", metavar="TIME", help="from when on it does not count, as 2026-11-24T12:00:00Z  [default: now]")
def revoke(folder: Path, whose: str, kid: str | None, reason: str | None, at: str | None) -> None:
    """Have a key of a gateway or a party count no more; may run while the ledger serves. What was taken stays."""
    from ledger_client.transparency.ledger.revoke import revoke as mark
    from ledger_client.transport.wire import id_to_text

    key, changed = mark(folder, whose, kid, int(time.time()) if at is None else moment("--at", at), reason)
    state = "revoked" if changed else "revoked already, left as it is:"
    which = f"{key.role} key" if key.meter is None else f"key of meter {key.meter}"
    named = f"gateway {key.gateway}" if key.party is None else f"party {key.party}"
    click.echo(f"{named}: {which} {id_to_text(key.kid)} {state} from {rfc3339(key.revoked or 0)} on")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--trust", is_flag=True, help="print the [[key]] entry for the trust.toml of whoever believes this ledger"
)
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def show(folder: Path, trust: bool, as_json: bool) -> None:
    """Say what the ledger in DIR holds; it may be serving meanwhile."""
    from ledger_client.transparency.ledger import show as summary

    if trust:
        click.echo(summary.trust_entry(folder), nl=False)
    elif as_json:
        click.echo(json.dumps(summary.facts(folder)))
    else:
        click.echo(summary.in_words(summary.facts(folder)))


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--prepare", is_flag=True, help="make the next key and print its [[key]] entry; the present key signs on")
@_in_token("--to")
def rotate(folder: Path, prepare: bool, to: str | None, pkcs11_module: str | None, pin_file: str | None) -> None:
    """Sign with a new key from now on; the ledger in DIR may be serving. Older keys stay published."""
    from ledger_client.transparency.ledger import rotate as keys
    from ledger_client.transport.wire import id_to_text

    place = None if to is None else keys.kept_place(folder, to, pkcs11_module, pin_file)
    if prepare:
        click.echo(keys.prepare(folder, place), nl=False)
        return
    before, now = keys.rotate(folder, place)
    click.echo(f"{id_to_text(now.key.kid)} signs from {rfc3339(now.since)} on, after {id_to_text(before.key.kid)}")
    click.echo(f"everyone who believes this ledger needs its new entries: meterseal-ledger show {folder} --trust")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="where to")
@FORCE
def backup(folder: Path, output: Path, force: bool) -> None:
    """Copy the log of the ledger in DIR, which may be serving, and read the copy through."""
    from ledger_client.transparency.ledger.backup import backup as copy
    from ledger_client.transparency.ledger.held_key import key_file

    copied = copy(folder, output, force=force)
    click.echo(f"{output}: {copied.size} entries of ledger {copied.ledger}, root {copied.root.hex()}")
    click.echo(f"not in it: {key_file(folder)}, without which it cannot be served, and {folder}/policy.toml")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--log", "logs", multiple=True, required=True, metavar="ORIGIN=VKEY", help="a log to follow, repeatable")
@click.option("--listen", default="127.0.0.1:8710", show_default=True, metavar="HOST:PORT", help="port 0: any free one")
@click.option("--name", metavar="NAME", help="the witness's name, chosen at its first start")
@click.option("--cert", metavar="PEM", help="serve https with this certificate")
@click.option("--key", metavar="PEM", help="and this private key")
@click.option("--rate", type=_RATE, default=20, show_default=True, help="requests/s of one address; 0: any number")
def witness(
    folder: Path, logs: tuple[str, ...], listen: str, name: str | None, cert: str | None, key: str | None, rate: float
) -> None:
    """Cosign what the logs of ledgers say, as long as each only grows, until SIGTERM or Ctrl-C. It remembers in DIR."""
    from ledger_client.transparency.server.endpoints import Doors
    from ledger_client.transparency.server.witness_server import serve as run

    log_lines.start()
    doors = Doors(listen, cert=None if cert is None else Path(cert), key=None if key is None else Path(key))
    run(folder, doors, name, logs, rate, lambda line: print(line, flush=True))
