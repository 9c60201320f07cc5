"""Bad configuration: one message each with file, key and the way out, exit code 2, and never a traceback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.alarms.checks import run_periodic_checks
from gateway.config import model as config
from gateway.config.bus import Bus, Meter
from gateway.config.ledger import LedgerEntry
from gateway.config.load import load_config
from gateway.devices.profile import CATALOG
from gateway.evidence.key_match import unlisted
from gateway.field_types import Model, duration_ms, duration_text
from gateway.key_errors import explain
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from gateway.startup.preflight import prepare
from ledger_client.errors import TrustFileError
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.trust_text import key_entry
from tests.gateway.config.refusals import refused
from tests.support.commands import gateway_command
from tests.support.samples import Hands, rewrite, site

CASES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "unknown key": ("baudrate = 9600", "baudrat = 9600", ("bus 'rs485-1', baudrat", "did you mean 'baudrate'?")),
    "unknown table": ("[seal]", "[seel]", ("seel", "did you mean 'seal'?")),
    "wrong type": ("baudrate = 9600", 'baudrate = "fast"', ("bus 'rs485-1', baudrate", '"fast"')),
    "wrong duration": ('every = "60s"', "every = 60", ("seal, every", "in quotes")),
    "missing key": ('id = "my-gateway"', "", ("gateway, id", "missing")),
    "bad name": ('name = "stack-co2"', 'name = "stack co2"', ("'stack co2'", "letters, digits")),
    "duplicate meter": ('name = "stack-co2"', 'name = "export-main"', ("meter 'export-main', name", "used 2 times")),
    "reserved name": ('name = "stack-co2"', 'name = "gateway"', ("meter 'gateway', name", "reserved")),
    "same address": ("address = 240", "address = 1", ("meter 'export-main', address", "two meters")),
    "address 0": ("address = 240", "address = 0", ("meter 'stack-co2', address", "takes 1 to 247")),
    "address 248": ("address = 240", "address = 248", ("meter 'stack-co2', address", "takes 1 to 247")),
    "no such profile": ('profile = "vaisala-gmp252"', 'profile = "vaisala"', ("meter 'stack-co2', profile", "catalog")),
    "no such point": ('role = "emission"', 'points = ["co3"]', ("meter 'stack-co2', profile", "'co3'", "'co2'")),
    "serial with host": ("baudrate = 9600", 'host = "10.0.0.5"', ("bus 'rs485-1', port", "no host")),
    "rs485 delay alone": ("stopbits = 1", 'rs485_after = "2ms"', ("bus 'rs485-1', rs485", "rs485 = true")),
    "echo on tcp": ('host = "127.0.0.1"', 'host = "127.0.0.1"\necho = "on"', ("bus 'inverters', echo", "Modbus TCP")),
    "http ledger over mqtt": ("http://127.0.0.1:8700", "mqtt://127.0.0.1:1883", ("ledger 'demo-ledger', url", "http")),
    "host that is empty": ('host = "127.0.0.1"', 'host = ""', ("bus 'inverters', host", "is not a host name")),
    "host that is a URL": ('host = "127.0.0.1"', 'host = "http://10.0.0.5"', ("bus 'inverters', host", "is a URL")),
    "host with a port": (
        'host = "127.0.0.1"',
        'host = "10.0.0.5:502"',
        ("bus 'inverters', host", 'host = "10.0.0.5" and port = 502'),
    ),
    "host with a blank": ('host = "127.0.0.1"', 'host = "10.0.0.5 "', ("bus 'inverters', host", "is not a host name")),
    "one bus in single brackets": (
        "",
        "",
        ("bus: is in single brackets, but several are allowed: [bus]", "write [[bus]]"),
    ),
    "two buses in single brackets": ("", "", ("Cannot declare ('bus',) twice", "write [[bus]] in double brackets")),
    "one ledger in single brackets": ("[[ledger]]", "[ledger]", ("ledger: is in single", "write [[ledger]]")),
    "a gateway in double brackets": ("[gateway]", "[[gateway]]", ("gateway: is in double", "write [gateway]")),
    "parity in a word": ('parity = "N"', 'parity = "even"', ("bus 'rs485-1', parity", '"even"', 'write parity = "E"')),
    "type in capitals": ('type = "modbus-tcp"', 'type = "Modbus-TCP"', ("type", 'write type = "modbus-tcp"')),
    "keep of a year": ("[store]", '[store]\nkeep = "1y"', ("store, keep: must be a duration", 'write "365d"')),
    "keep of weeks": ("[store]", '[store]\nkeep = "2 weeks"', ("store, keep: must be a duration", 'write "14d"')),
    "every in a word": ('every = "60s"', 'every = "1 minute"', ("seal, every: must be a duration", 'write "1m"')),
    "ledger with a blank in its address": (
        "http://127.0.0.1:8700",
        "http://10.0.0.5 :8700",
        ("ledger 'demo-ledger', url", "SCHEME://HOST:PORT"),
    ),
    "not toml": ("[store]", "[store", ("not valid TOML", "line")),
    "brackets without end": (
        "[store]",
        "a = " + "[" * 20_000 + "\n[store]",
        ("not valid TOML", "are nested more than"),
    ),
    "a dotted key without end": (
        "[store]",
        "a." * 2_000 + "a = 1\n[store]",
        ("not valid TOML", "are nested more than"),
    ),
    "a number without end": ("address = 240", "address = " + "9" * 6_000, ("not valid TOML", "thousands of digits")),
    "a duration without end": ('every = "60s"', 'every = "36501d"', ("seal, every", 'at most "36500d"')),
    "a size without end": ("[store]", f'[store]\nmax_size = "{"9" * 6_000}TB"', ("store, max_size", "at most")),
}


HOLDER = "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print('held', flush=True); sys.stdin.read()"


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_in_gateway_toml_is_named(name: str, tmp_path: Path) -> None:
    old, new, words = CASES[name]
    path = site(tmp_path / "site").path
    text = path.read_text()
    if name == "one bus in single brackets":
        head, _, rest = text.partition('[[bus]]\nname = "inverters"')
        text = head + rest[rest.index("# A batch") :]
    if name in ("one bus in single brackets", "two buses in single brackets"):
        text = text.replace("\n[[bus]]", "\n[bus]")
    if name == "missing key":
        text = "\n".join(line for line in text.splitlines() if not line.startswith("id = "))
    else:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    refused(path, "gateway.toml", *words)


@pytest.mark.parametrize(("kind", "good", "bad"), [("modbus-tcp", 255, 256), ("modbus-rtu-over-tcp", 247, 248)])
def test_the_highest_address_depends_on_the_kind_of_bus(kind: str, good: int, bad: int, tmp_path: Path) -> None:
    loaded = site(tmp_path / "site", {'type = "modbus-tcp"': f'type = "{kind}"'})
    text = loaded.path.read_text()
    head, tail = text.split('name = "pv-inverter"')
    loaded.path.write_text(head + 'name = "pv-inverter"' + tail.replace("address = 1", f"address = {good}"))
    assert load_config(loaded.path).meters["pv-inverter"].address == good
    loaded.path.write_text(head + 'name = "pv-inverter"' + tail.replace("address = 1", f"address = {bad}"))
    refused(loaded.path, "bus 'inverters', meter 'pv-inverter', address", str(bad))


class Plate(Model):
    ct: Decimal


@pytest.mark.parametrize(("text", "number"), [("400/5", "80"), ("100:1", "100"), ("1/3", "0.3333333333")])
def test_a_ratio_as_on_a_plate_is_told_as_the_number(text: str, number: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        Plate.model_validate({"ct": text}, strict=False)
    assert explain(tmp_path, {"ct": text}, caught.value, Plate, {}).way_out == f"write ct = {number}"


UNREADABLE: dict[str, tuple[str, Callable[[str], bytes]]] = {
    "UTF-16": ("is UTF-16 ", lambda text: text.encode("utf-16")),
    "BOM": ("starts with a byte order mark (BOM)", lambda text: text.encode("utf-8-sig")),
    "Latin-1": ("is not UTF-8", lambda text: "é".encode("latin-1") + text.encode()),
}


@pytest.mark.parametrize("encoding", UNREADABLE)
@pytest.mark.parametrize("name", ["gateway.toml", "trust.toml", "own.toml"])
def test_a_file_in_another_encoding_says_how_to_save_it(name: str, encoding: str, tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    if name == "own.toml":
        shutil.copy(CATALOG / "vaisala-gmp252.toml", loaded.path.with_name(name))
        rewrite(loaded, ('"vaisala-gmp252"', '"own.toml"'))
    problem, encode = UNREADABLE[encoding]
    file = loaded.path.with_name(name)
    file.write_bytes(encode(file.read_text()))
    refused(loaded.path, name, problem, "save it as UTF-8 without a byte order mark (BOM)")


def test_a_key_file_in_another_encoding_says_so(tmp_path: Path) -> None:
    path = with_ledger_key(tmp_path / "site")
    key = path.parent / "keys" / "stack-co2.pem"
    key.write_bytes(key.read_text().encode("utf-16"))
    refused(path, "stack-co2.pem", "is UTF-16 text", "save it as UTF-8", "from a backup")


def test_a_file_where_a_folder_is_due_is_named(tmp_path: Path) -> None:
    path = with_ledger_key(tmp_path / "site")
    file = tmp_path / "file"
    file.touch()
    code, _, err = gateway_command("init", file)
    assert (code, f"{file}: {Message('init-not-a-folder').problem}" in err) == (2, True), err
    assert "choose another name" in err
    code, _, err = gateway_command("check", file / "gateway.toml")
    assert (code, f"{file}: {Message('init-not-a-folder').problem}" in err) == (2, True), err
    (path.parent / "data").touch()
    for command in ("check", "run"):
        code, _, err = gateway_command(command, path)
        assert code == 2
        refusal = Message("folder-is-file", path=str(path.parent / "data"), key="data")
        assert refusal.problem in err
        assert refusal.way_out in err
    (path.parent / "data").unlink()
    shutil.rmtree(path.parent / "keys")
    (path.parent / "keys").touch()
    for words in (("check", path), ("keys", path, "--make-missing")):
        code, _, err = gateway_command(*words)
        assert code == 2
        assert Message("folder-is-file", path=str(path.parent / "keys"), key="keys").problem in err


@pytest.mark.parametrize("device", ["/dev/null", "/dev/tty"])
def test_a_port_that_is_no_serial_port_names_no_process_to_kill(device: str, tmp_path: Path) -> None:
    """Whoever has /dev/null open is innocent."""
    path = with_ledger_key(tmp_path / "site")
    path.write_text(path.read_text().replace('port = "rs485-1"', f'port = "{device}"'))
    code, _, err = gateway_command("check", path)
    assert code == 2
    assert f"{device}: not a serial port" in err
    assert "kill" not in err


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    refused(tmp_path / "gateway.toml", "no such file", "meterseal init")


def with_ledger_key(folder: Path) -> Path:
    """A site whose trust file knows the ledger, so that only what the test breaks is wrong."""
    loaded = site(folder)
    with loaded.trust.open("a") as trust:
        trust.write(key_entry("ledger", PrivateKey.generate().public, 1_700_000_000, ledger="demo-ledger"))
    return loaded.path


def test_a_missing_key_file_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    path = with_ledger_key(tmp_path / "site")
    (path.parent / "keys" / "stack-co2.pem").unlink()
    refused(path, "key of meter stack-co2", "stack-co2.pem", "--make-missing")
    assert gateway_command("keys", path, "--make-missing")[0] == 0
    assert (path.parent / "keys" / "stack-co2.pem").stat().st_mode & 0o777 == 0o600


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = with_ledger_key(tmp_path / "site")
    (path.parent / "keys" / "statement.pem").chmod(0o644)
    refused(path, "statement key", "statement.pem", "chmod 600")


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    path = with_ledger_key(tmp_path / "site")
    (path.parent / "keys" / "statement.pem").write_text("not a key")
    refused(
        path, "statement key", "statement.pem", "restore it from its backup", f"meterseal keys {path} --make-missing"
    )


def test_one_public_key_in_two_roles_is_refused(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    public = PrivateKey.generate().public
    with loaded.trust.open("a") as trust:
        trust.write(key_entry("ledger", public, 1_700_000_000, ledger="demo-ledger"))
        trust.write("\n" + key_entry("statement", public, 1_700_000_000, gateway="my-gateway"))
    refused(loaded.path, "trust.toml", "one public key is used as ledger demo-ledger and as statement")


def test_a_ledger_without_a_key_in_the_trust_file_is_refused(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    refused(loaded.path, "trust.toml", "'demo-ledger'", "meterseal-ledger show")


def demand_refused_by_run(path: Path, *words: str) -> None:
    code, _, err = gateway_command("run", path)
    assert code == 2
    for word in (*words, "fix: "):
        assert word in err, err


def test_check_refuses_a_key_that_the_trust_file_lacks(tmp_path: Path) -> None:
    path = with_ledger_key(tmp_path / "site")
    trust = path.with_name("trust.toml")
    head, _, rest = trust.read_text().partition('meter = "stack-co2"')
    trust.write_text(head.rpartition("[[key]]")[0] + "[[key]]" + rest.partition("[[key]]")[2])
    refused(
        path, "trust.toml", "does not list the key of meter 'stack-co2'", "meterseal-ledger trust add", "gateway.enrol"
    )
    ready = prepare(load_config(path), may_be_missing=True)  # of a start: the alarm tells
    (missing,) = unlisted(ready.config, ready.keys, ready.trust)
    assert missing[0] == "stack-co2"
    found = run_periodic_checks(ready.config, 0, None).alarms[AlarmCode.KEY_UNLISTED]
    assert list(found) == [("stack-co2", "trust file")]
    assert found["stack-co2", "trust file"][0] == missing[1]


@pytest.mark.parametrize("other", ["export-main", "statement"])
def test_check_and_run_refuse_key_files_that_are_swapped(other: str, tmp_path: Path) -> None:
    path = with_ledger_key(tmp_path / "site")
    one, two = (path.parent / "keys" / f"{name}.pem" for name in ("stack-co2", other))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    words = (f"keys/{other}.pem", "lists this as the key of meter 'stack-co2'", "put the key files back")
    refused(path, *words)
    demand_refused_by_run(path, *words)


def test_check_and_run_refuse_an_id_that_is_not_the_databases(tmp_path: Path) -> None:
    path = with_ledger_key(tmp_path / "site")
    hands = Hands(load_config(path))
    hands.poll(1)
    hands.end()
    path.write_text(path.read_text().replace('id = "test-gateway"', 'id = "renamed"'))
    words = ("gateway, id", "is 'renamed'", "belongs to gateway 'test-gateway'", "write id = 'test-gateway'")
    refused(path, *words)
    demand_refused_by_run(path, *words)


SIMPLEST = """
vendor = "Test"
device = "Simplest"
source = "made up for this test"
[points]
power = { fc = 3, address = 0, type = "uint16", unit = "W" }
"""


def test_the_way_out_asks_first_if_the_meter_itself_has_the_ethernet_plug(tmp_path: Path) -> None:
    path, profile = with_ledger_key(tmp_path / "site"), tmp_path / "simplest.toml"
    profile.write_text(SIMPLEST)
    serial, tcp = path.read_text().split('[[bus]]\nname = "inverters"')
    head = serial.split("# One [[bus]]")[0]
    tcp = tcp.replace('profile = "sunspec-inverter"', 'profile = "../simplest.toml"').replace('  every = "10s"\n', "")
    path.write_text(f'{head}[[bus]]\nname = "inverters"{tcp}')
    code, _, err = gateway_command("check", path)
    assert code == 2
    assert f"  fix: {Message('budget-way-direct').problem}; set every" in err
    profile.write_text(f"direct = true\n{SIMPLEST}")
    assert gateway_command("check", path)[0] == 0


def test_a_site_without_a_ledger_runs(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    text, _, _ = loaded.path.read_text().partition("[[ledger]]")
    loaded.path.write_text(text)
    key = "[[key]]" + loaded.trust.read_text().partition("[[key]]")[2]
    for policy in ("", "[policy]\nreceipts = 1\nledgers = []\n"):
        loaded.trust.write_text(policy + key)
        assert prepare(load_config(loaded.path), may_be_missing=True).trust.ledgers == ()
    with pytest.raises(TrustFileError, match="policy"):
        load_trust(loaded.trust)


def test_a_site_made_by_keys_make_missing_without_init_runs(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    with_ledger = loaded.path.read_text()
    for text, ledgers in ((with_ledger.partition("[[ledger]]")[0], ()), (with_ledger, ("demo-ledger",))):
        loaded.path.write_text(text)
        shutil.rmtree(loaded.keys)
        loaded.trust.unlink()
        code, _, err = gateway_command("keys", loaded.path, "--make-missing")
        assert code == 0, err
        if ledgers:
            refused(loaded.path, "[[key]] of ledger 'demo-ledger'", "meterseal-ledger show")
        else:
            demand_no_complaint(loaded.path)


def demand_no_complaint(path: Path) -> None:
    found = load_config(path)
    ready = prepare(found, may_be_missing=True)
    assert unlisted(found, ready.keys, ready.trust) == []


def test_a_serial_port_that_another_process_holds_is_named_with_its_holder(
    tmp_path: Path, pty_path: Callable[[], Path]
) -> None:
    """The holder takes no lock at all: it is found among the open files of its process."""
    port = pty_path()
    path = with_ledger_key(tmp_path / "site")
    path.write_text(path.read_text().replace('port = "rs485-1"', f'port = "{port}"'))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        code, _, err = gateway_command("check", path)
        assert code == 2
        assert str(holder.pid) in err
        assert "python" in err
        assert str(port) in err
    finally:
        holder.communicate()


def test_an_address_where_another_process_listens_is_refused_before_anything_starts(tmp_path: Path) -> None:
    path = with_ledger_key(tmp_path / "site")
    head, _, rest = path.read_text().partition('[[bus]]\nname = "inverters"')
    text = head.partition("# One [[bus]]")[0] + '[[bus]]\nname = "inverters"' + rest
    with socket.create_server(("127.0.0.1", 0)) as other:
        wire = f'type = "modbus-rtu-over-tcp"\nlisten = "127.0.0.1:{other.getsockname()[1]}"'
        path.write_text(text.replace('type = "modbus-tcp"\nhost = "127.0.0.1"\nport = 1', wire))
        code, _, err = gateway_command("check", path)
        refusal = Message("listen-in-use")
        assert (code, refusal.problem in err, refusal.way_out in err) == (2, True, True), err
        demand_refused_by_run(path, refusal.problem)
    assert prepare(load_config(path), running=os.getpid()).specs[0].listen is not None


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    assert gateway_command("init", tmp_path / "site")[0] == 0
    before = {p: p.read_bytes() for p in (tmp_path / "site").rglob("*") if p.is_file()}
    code, _, err = gateway_command("init", tmp_path / "site")
    assert code == 2
    assert "already exists" in err
    assert before == {p: p.read_bytes() for p in (tmp_path / "site").rglob("*") if p.is_file()}


def test_the_fingerprint_tells_configurations_apart_and_leaves_secrets_out(tmp_path: Path) -> None:
    one, two = site(tmp_path / "a"), site(tmp_path / "b")
    other = site(tmp_path / "c", {"baudrate = 9600": "baudrate = 19200"})
    assert one.fingerprint() == two.fingerprint()
    assert other.fingerprint() != one.fingerprint()
    assert one.fingerprint() is one.fingerprint(), "the running gateway tells it again and again"
    login = {'"http://127.0.0.1:8700"': '"http://127.0.0.1:8700"\ntoken_file = "token"'}
    three, four = site(tmp_path / "d", login), site(tmp_path / "e", login)
    for folder, token in ((tmp_path / "d", "one"), (tmp_path / "e", "another")):
        (folder / "token").write_text(token)
    assert three.fingerprint() == four.fingerprint() != one.fingerprint()


@pytest.mark.parametrize("model", [config.Gateway, config.Store, Bus, Meter, config.Seal, LedgerEntry])
def test_every_key_is_documented(model: type[Model]) -> None:
    text = (Path(config.__file__).parents[2] / "docs" / "configuration.md").read_text()
    keys = {field.alias or name for name, field in model.model_fields.items()}
    assert [key for key in keys if key != "meter" and f"`{key}`" not in text] == []


@pytest.mark.parametrize(
    ("ms", "text"),
    [(10_000, "10s"), (500, "500ms"), (1500, "1500ms"), (900_000, "15m"), (90_000, "90s"), (86_400_000, "1d")],
)
def test_a_duration_is_told_as_it_may_be_written(ms: int, text: str) -> None:
    assert duration_text(ms) == text
    assert duration_ms(text) == ms


def test_periods_are_told_as_they_are_written(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site", {'every = "10s"': 'every = "1.5m"'})
    assert "1.5m" in loaded.periods.values()
    assert set(loaded.periods) == set(loaded.meters)


HOSTILE = {"brackets": "a = " + "[" * 20_000, "digits": "a = " + "9" * 6_000}


@pytest.mark.parametrize("lines", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("verb", ["check", "run"])
def test_toml_that_no_parser_bears_is_one_sentence(tmp_path: Path, verb: str, lines: str) -> None:
    path = site(tmp_path / "site").path
    whole = path.read_text()
    profile = tmp_path / "site/mine.toml"
    profile.write_text(f"{lines}\n")
    for text in (f"{lines}\n{whole}", whole.replace('profile = "vaisala-gmp252"', 'profile = "mine.toml"')):
        path.write_text(text)
        code, out, err = gateway_command(verb, path)
        assert (code, out) == (2, "")
        assert "Traceback" not in err
        assert len(err) < 1000
        assert "fix: " in err
