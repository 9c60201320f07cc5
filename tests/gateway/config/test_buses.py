"""Buses in gateway.toml: what each type and wire takes, and what is said of anything else."""

from __future__ import annotations

from datetime import timedelta, timezone
from ipaddress import ip_network
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.config.load import load_config
from gateway.config.wire_texts import sent_bytes, source_zone
from gateway.devices.profile import CATALOG
from gateway.errors import ConfigError
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message
from gateway.startup.line_plan import line_plans
from gateway.startup.line_specs import line_specs
from tests.gateway.config.refusals import refused

HEAD = '[gateway]\nid = "g"\n\n'
LISTENER = 'type = "modbus-rtu-over-tcp"\nlisten = "0.0.0.0:5000"\nfrom = ["10.20.0.0/16"]\n'
SERIAL = 'type = "modbus-rtu"\nport = "tty"\n'
DLT645 = 'type = "dlt645"\nport = "tty"\n'
P1 = 'type = "p1"\nport = "tty"\n'
HJ212 = 'type = "hj212"\nlisten = "0.0.0.0:5212"\nfrom = ["10.20.0.0/16"]\n'
NUMBER, STATION = '"000000012345"', '"010000A8900016F000169DC0"'


def meter(name: str = "m", address: str = "1", profile: str = "eastron-sdm630", more: str = "") -> str:
    return f'[[bus.meter]]\nname = "{name}"\nprofile = "{profile}"\naddress = {address}\n{more}\n'


def bus(keys: str, *meters: str, name: str = "b") -> str:
    return f'[[bus]]\nname = "{name}"\n{keys}\n' + "".join(meters or (meter(),))


def written(folder: Path, *buses: str, head: str = HEAD) -> Path:
    path = folder / "gateway.toml"
    path.write_text(head + "\n".join(buses))
    return path


def lines(folder: Path, *buses: str, head: str = HEAD) -> list[LineSpec]:
    return line_specs(load_config(written(folder, *buses, head=head)))


CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "a type that is not built": (
        (bus('type = "sml"\nport = "tty"'),),
        ("bus 'b', type", '"modbus-rtu"', '"dlt645"', '"hj212"', '"p1"'),
    ),
    "a P1 meter without a channel": ((bus(P1),), ("bus 'b', meter 'm', address", "1 is not the channel", '"0-0"')),
    "a P1 bus without a wire": ((bus('type = "p1"'),), ("bus 'b', port", "a converter")),
    "P1 over TCP without the converter's port": ((bus('type = "p1"\nhost = "10.0.0.5"'),), ("bus 'b', port",)),
    "a time-out on P1": ((bus(P1 + 'timeout = "1s"'),), ("bus 'b', timeout", "means nothing on a p1 bus")),
    "an electricity profile on the channel of a meter that is passed on": (
        (bus(P1, meter(profile="dsmr-5-electricity", address='"0-1"')),),
        ("bus 'b', meter 'm', profile", "does not fit channel 0-1", "0-0:96.1.1"),
    ),
    "a gas profile on the meter's own channel": (
        (bus(P1, meter(profile="dsmr-gas", address='"0-0"')),),
        ("bus 'b', meter 'm', profile", "does not fit channel 0-0", "0-n:96.1.0"),
    ),
    "a profile of another protocol on P1": (
        (bus(P1, meter(address='"0-0"')),),
        ("bus 'b', meter 'm', profile", "not spoken on a p1 bus"),
    ),
    "a device server without a port": (
        (bus('type = "modbus-rtu"\nport = "rfc2217://10.0.0.7"'),),
        ("bus 'b', port", "rfc2217://HOST:PORT"),
    ),
    "a device server with a path": (
        (bus('type = "modbus-rtu"\nport = "rfc2217://10.0.0.7:2217/x"'),),
        ("bus 'b', port", "rfc2217://HOST:PORT"),
    ),
    "the port of a device server, only listened to": (
        (bus('type = "modbus-rtu"\nport = "rfc2217://10.0.0.7:2217"\npassive = true'),),
        ("bus 'b', port", "nothing is ever sent"),
    ),
    "P1 on a device server's port": (
        (bus('type = "p1"\nport = "rfc2217://10.0.0.7:2217"'),),
        ("bus 'b', port", "nothing is ever sent"),
    ),
    "the direction of a device server's port": (
        (bus('type = "modbus-rtu"\nport = "rfc2217://10.0.0.7:2217"\nrs485 = true'),),
        ("bus 'b', rs485", "by itself"),
    ),
    "data bits of RTU": ((bus(SERIAL + "databits = 7"),), ("bus 'b', databits", "modbus-ascii")),
    "a converter of ASCII without its port": (
        (bus('type = "modbus-ascii"\nhost = "h"'),),
        ("bus 'b', port", "a TCP bus needs a port number"),
    ),
    "a text of a DTU that begins as ASCII does": (
        (bus('type = "modbus-ascii"\nlisten = "127.0.0.1:5000"\nhello = ":D1"'),),
        ("bus 'b', hello", ":D1"),
    ),
    "TLS without its files": (
        (bus('type = "modbus-tcp"\nhost = "h"\ntls = true\nca = "ca.pem"'),),
        ("bus 'b', cert", "is missing", "a PEM file"),
    ),
    "files of TLS without it": (
        (bus('type = "modbus-tcp"\nhost = "h"\nca = "ca.pem"'),),
        ("bus 'b', ca", "without tls = true", "or remove it"),
    ),
    "TLS over a converter": (
        (bus('type = "modbus-rtu-over-tcp"\nhost = "h"\ntls = true'),),
        ("bus 'b', tls", "modbus-rtu-over-tcp", "modbus-tcp"),
    ),
    "passive with a time-out": (
        (bus(SERIAL + 'passive = true\ntimeout = "1s"'),),
        ("bus 'b', timeout", "only listened to", "remove it, or remove passive"),
    ),
    "passive with a time-out of a meter": (
        (bus(SERIAL + "passive = true", meter(more='timeout = "1s"')),),
        ("bus 'b', meter 'm', timeout", "only listened to"),
    ),
    "passive with rs485": ((bus(SERIAL + "passive = true\nrs485 = true"),), ("bus 'b', rs485", "only listened to")),
    "passive and shared": ((bus(SERIAL + "passive = true\nshared = true"),), ("bus 'b', shared", "only listened to")),
    "passive with echo": ((bus(SERIAL + 'passive = true\necho = "on"'),), ("bus 'b', echo", "only listened to")),
    "passive on a listener": ((bus(LISTENER + "passive = true"),), ("bus 'b', listen", "only listened to")),
    "passive over Modbus TCP": (
        (bus('type = "modbus-tcp"\nhost = "10.0.0.5"\npassive = true'),),
        ("bus 'b', passive", "means nothing on a modbus-tcp bus"),
    ),
    "passive 645 meters": ((bus(DLT645 + "passive = true"),), ("bus 'b', passive", "means nothing on a dlt645 bus")),
    "a listener without from": (
        (bus('type = "modbus-rtu-over-tcp"\nlisten = "0.0.0.0:5000"'),),
        ("bus 'b', from", "can be reached from other machines", 'from = ["10.20.0.0/16"]'),
    ),
    "from without networks": (
        (bus('type = "modbus-rtu-over-tcp"\nlisten = "0.0.0.0:5000"\nfrom = []'),),
        ("bus 'b', from", "at least 1"),
    ),
    "from that is a host": (
        (bus(LISTENER.replace("10.20.0.0/16", "dtu.example")),),
        ("bus 'b', from", "'dtu.example' is not a network", '"10.20.0.0/16"'),
    ),
    "from with the bits of a host": (
        (bus(LISTENER.replace("10.20.0.0/16", "10.20.3.4/16")),),
        ("bus 'b', from", 'write "10.20.0.0/16" for the network'),
    ),
    "from where nothing listens": ((bus(SERIAL + 'from = ["10.0.0.1"]'),), ("bus 'b', from", "only to a bus with lis")),
    "hello where nothing listens": ((bus(DLT645 + 'hello = "x"'),), ("bus 'b', hello", "only to a bus with listen")),
    "heartbeat where nothing listens": ((bus(SERIAL + 'heartbeat = "x"'),), ("bus 'b', heartbeat", "only to a bus wi")),
    "hello of a station": (
        (bus(HJ212 + 'hello = "x"'),),
        ("bus 'b', hello", "means nothing on a hj212 bus", "modbus-rtu-over-tcp, modbus-ascii, dlt645"),
    ),
    "hello without a byte": ((bus(LISTENER + 'hello = ""'),), ("bus 'b', hello", "1 to 64 bytes")),
    "hello in broken hex": ((bus(LISTENER + 'hello = "hex:4"'),), ("bus 'b', hello", "'hex:4' is not hexadecimal")),
    "time zone of a line that is asked": ((bus(DLT645 + 'timezone = "+08:00"'),), ("bus 'b', timezone", "of hj212")),
    "an offset without minutes": ((bus(HJ212 + 'timezone = "+8"'),), ("bus 'b', timezone", 'write "+08:00"')),
    "a zone by its city": ((bus(HJ212 + 'timezone = "Shanghai"'),), ("bus 'b', timezone", "Asia/Shanghai")),
    "answer life of a station": ((bus(HJ212 + 'answer_life = "9s"'),), ("bus 'b', answer_life", "means nothing on a")),
    "time-out of a station's meter": (
        (bus(HJ212, meter(address=STATION, more='timeout = "1s"')),),
        ("bus 'b', meter 'm', timeout", "means nothing on a hj212 bus"),
    ),
    "password of a meter that is asked": (
        (bus(SERIAL, meter(more='password = "123456"')),),
        ("bus 'b', meter 'm', password", "it is a key of hj212"),
    ),
    "clock limit of a meter that is asked": (
        (bus(DLT645, meter(address=NUMBER, more='clock_limit = "5m"')),),
        ("bus 'b', meter 'm', clock_limit", "it is a key of hj212"),
    ),
    "shared line of 645 meters": ((bus(DLT645 + "shared = true"),), ("bus 'b', shared", "means nothing on a dlt645")),
    "echo of a station": ((bus(HJ212 + 'echo = "on"'),), ("bus 'b', echo", "means nothing on a hj212 bus")),
    "speed of a listener": ((bus(LISTENER + "baudrate = 9600"),), ("bus 'b', baudrate", "serial buses only")),
    "two wires": ((bus(LISTENER + 'host = "10.0.0.5"'),), ("bus 'b', host", "connects to nobody")),
    "a port beside listen": ((bus(LISTENER + "port = 5000"),), ("bus 'b', port", "connects to nobody")),
    "a listening serial line": ((bus('type = "modbus-rtu"\nlisten = "127.0.0.1:5000"'),), ("bus 'b', port", "no host")),
    "listen without an address": (
        (bus(LISTENER.replace("0.0.0.0:5000", "5000")),),
        ("bus 'b', listen", 'such as "0.0.0.0:5000"'),
    ),
    "listen on any port": ((bus(LISTENER.replace(":5000", ":0")),), ("bus 'b', listen", '"ADDRESS:PORT"')),
    "645 without a wire": ((bus('type = "dlt645"'),), ("bus 'b', port", "a converter", "a DTU that connects")),
    "645 behind a converter without its port": (
        (bus('type = "dlt645"\nhost = "10.0.0.5"'),),
        ("bus 'b', port", "a port number from 1 to 65535"),
    ),
    "RTU over TCP without a wire": ((bus('type = "modbus-rtu-over-tcp"'),), ("bus 'b', host", 'listen = "0.0.0.0:50')),
    "a station without a listener": ((bus('type = "hj212"\nport = "tty"'),), ("bus 'b', listen", "its devices conn")),
    "eleven digits": (
        (bus(DLT645, meter(address='"00000012345"')),),
        ("bus 'b', meter 'm', address", "has 11 digits", "has 12", "with leading zeros"),
    ),
    "a 645 address as a number": (
        (bus(DLT645, meter(address="12345")),),
        ("bus 'b', meter 'm', address", "leading zeros count", 'address = "000000012345"'),
    ),
    "the wildcard": (
        (bus(DLT645, meter(address='"AAAAAAAAAAAA"')),),
        ("bus 'b', meter 'm', address", "whatever meter hears it", "on the meter's plate"),
    ),
    "a shortened address": ((bus(DLT645, meter(address='"AAAAAA012345"')),), ("address", "whatever meter hears it")),
    "the broadcast": ((bus(DLT645, meter(address='"999999999999"')),), ("address", "is the broadcast address")),
    "letters in a 645 address": ((bus(DLT645, meter(address='"12 4"')),), ("address", "is not a DL/T 645 address")),
    "an MN as a number": ((bus(HJ212, meter(address="88")),), ("meter 'm', address", 'address = "88"')),
    "an MN with a separator": ((bus(HJ212, meter(address='"A;B"')),), ("meter 'm', address", "none of ; , = & #")),
    "an MN of 25 characters": ((bus(HJ212, meter(address=f'"{"A" * 25}"')),), ("address", "1 to 24 characters")),
    "a unit in quotes": (
        (bus(SERIAL, meter(address='"1"')),),
        ("bus 'b', meter 'm', address", "a number from 1 to 247, without quotes"),
    ),
    "one 645 number twice": (
        (bus(DLT645, meter("m", NUMBER), meter("n", NUMBER)),),
        ("bus 'b', meter 'm', address", "000000012345 is assigned to two meters"),
    ),
    "two passwords of one station": (
        (bus(HJ212, meter("m", STATION, more='password = "1"'), meter("n", STATION, more='password = "2"')),),
        ("bus 'b', meter 'n', password", "m has another password for the same station 010000A89"),
    ),
    "a password that no packet can bear": (
        (bus(HJ212, meter("m", STATION, more='password = "a;b"')),),
        ("bus 'b', meter 'm', password", "1 to 32 characters without blanks and none of ; , = & #"),
    ),
    "a heartbeat that begins each answer": (
        (bus('type = "dlt645"\nlisten = "127.0.0.1:5000"\nheartbeat = "hex:68"', meter(address=NUMBER)),),
        ("bus 'b', heartbeat", "'hex:68' stands where an answer of m could begin"),
    ),
    "a heartbeat that begins as an answer of one meter": (
        (bus(LISTENER + 'heartbeat = ["hex:01 58", "hex:01 83"]', meter(address="1")),),
        ("bus 'b', heartbeat", "'hex:01 83' stands where an answer of m could begin"),
    ),
    "a profile of another protocol": (
        (bus(DLT645, meter(address=NUMBER)),),
        ("bus 'b', meter 'm', profile", "eastron-sdm630 speaks modbus", "its type: modbus-rtu, modbus-tcp"),
    ),
    "two buses on one listener without hello": (
        (bus(LISTENER + 'hello = "A"', name="a"), bus(LISTENER, meter("n"))),
        ("bus 'b', hello", "a and b both listen on 0.0.0.0:5000", 'hello = "DTU-01"'),
    ),
    "the first of two buses on one listener without hello": (
        (bus(LISTENER, name="a"), bus(LISTENER + 'hello = "A"', meter("n"))),
        ("bus 'a', hello", "a and b both listen on 0.0.0.0:5000"),
    ),
    "a hello that begins another": (
        (bus(LISTENER + 'hello = "DTU-1"', name="a"), bus(LISTENER + 'hello = ["X", "DTU-12"]', meter("n"))),
        ("bus 'b', hello", "'DTU-12' cannot be told from a hello of a"),
    ),
    "two buses of stations on one listener": (
        (bus(HJ212, meter(address=STATION), name="a"), bus(HJ212, meter("n", STATION))),
        ("bus 'b', listen", "a also listens on 0.0.0.0:5212", "under one [[bus]]"),
    ),
    "a listener that stands in another's way": (
        (bus(LISTENER, name="a"), bus(LISTENER.replace("0.0.0.0", "10.0.0.1"), meter("n"))),
        ("bus 'b', listen", "a listens on 0.0.0.0:5000, so this address is taken"),
    ),
    "a listener on the pages' port": (
        (bus(LISTENER), '[web]\nlisten = "127.0.0.1:5000"'),
        ("bus 'b', listen", "127.0.0.1:5000 is the address of the pages"),
    ),
    "profiles of one line that differ": (
        (bus(SERIAL + "baudrate = 9600", meter(), meter("n", "240", "vaisala-gmp252")),),
        ("bus 'b', stopbits", "eastron-sdm630 is delivered with 1, vaisala-gmp252 with 2", "write stopbits = "),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_named_with_its_key_and_the_way_out(name: str, tmp_path: Path) -> None:
    buses, words = CASES[name]
    refused(written(tmp_path, *buses), "gateway.toml", *words)


def test_what_a_listener_takes_becomes_its_line(tmp_path: Path) -> None:
    first = LISTENER + 'hello = ["DTU-1", "hex:0a 0B"]\nheartbeat = "hb\\r\\n"\nanswer_life = "2s"'
    a, b = lines(tmp_path, bus(first), bus(LISTENER + 'hello = "DTU-2"', meter("n"), name="c"))
    assert (a.listen, a.networks) == (("0.0.0.0", 5000), (ip_network("10.20.0.0/16"),))
    assert (a.hello, a.heartbeat) == ((b"DTU-1", b"\n\x0b"), (b"hb\r\n",))
    assert (a.port, a.host, a.tcp_port, a.answer_life_of(a.meters[0])) == (None, None, None, 2_000)
    assert b.hello == (b"DTU-2",)


def test_a_listener_on_the_loopback_needs_no_from(tmp_path: Path) -> None:
    for address in ("127.0.0.1", "[::1]"):
        (line,) = lines(tmp_path, bus(f'type = "modbus-rtu-over-tcp"\nlisten = "{address}:5000"'))
        assert line.networks == (ip_network("127.0.0.0/8"), ip_network("::1"))


def test_serial_settings_that_the_bus_does_not_name_are_the_profiles(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, bus(SERIAL, meter(address="240", profile="vaisala-gmp252")))
    assert (line.baudrate, line.parity, line.stopbits) == (19200, "N", 2)
    both = meter(), meter("n", "240", "vaisala-gmp252")
    (line,) = lines(tmp_path, bus(SERIAL + "baudrate = 4800\nstopbits = 1", *both))
    assert (line.baudrate, line.parity, line.stopbits) == (4800, "N", 1)


def test_a_profile_without_serial_settings_leaves_the_protocols(tmp_path: Path) -> None:
    text = (CATALOG / "vaisala-gmp252.toml").read_text()
    head, _, rest = text.partition("[serial]")
    (tmp_path / "own.toml").write_text(head + "[" + rest.partition("\n[")[2])
    (line,) = lines(tmp_path, bus(SERIAL, meter(profile="own.toml")))
    assert (line.baudrate, line.parity, line.stopbits) == (9600, "N", 1)


def test_ascii_is_7e1_at_the_profiles_speed(tmp_path: Path) -> None:
    (spec,) = lines(tmp_path, bus('type = "modbus-ascii"\nport = "tty"', meter("n", "240", "vaisala-gmp252")))
    assert (spec.baudrate, spec.databits, spec.parity, spec.stopbits) == (19200, 7, "E", 1)
    (plan,) = line_plans([spec])
    assert plan.wire.endswith("19200 baud 7E1")
    (spec,) = lines(tmp_path, bus('type = "modbus-ascii"\nport = "tty"\ndatabits = 8\nparity = "N"\nstopbits = 2'))
    assert (spec.databits, spec.parity, spec.stopbits) == (8, "N", 2)


def test_texts_of_a_dtu_are_bytes() -> None:
    assert sent_bytes("é") == "é".encode()
    assert sent_bytes("hex:68 00fF") == b"\x68\x00\xff"


def test_a_zone_is_an_offset_or_a_name() -> None:
    assert source_zone("-03:30") == timezone(-timedelta(hours=3, minutes=30))
    assert source_zone("Asia/Shanghai") == ZoneInfo("Asia/Shanghai")


def test_a_passive_bus_may_have_an_answer_life_and_asks_nothing(tmp_path: Path) -> None:
    (spec,) = lines(tmp_path, bus(SERIAL + 'passive = true\nanswer_life = "0.8s"'))
    assert (spec.passive, spec.answer_life_ms) == (True, 800)
    (plan,) = line_plans([spec])
    assert (plan.share, [read.needed for read in plan.reads], plan.problems) == (None, [0], ())
    assert plan.notes == (Message("plan-passive"),)


def test_a_sunspec_device_is_not_overheard(tmp_path: Path) -> None:
    device = meter(profile=next(p.stem for p in sorted(CATALOG.glob("sunspec*.toml"))))
    with pytest.raises(ConfigError) as refused:
        lines(tmp_path, bus(SERIAL + "passive = true", device))
    assert refused.value.key.split(", ") == ["bus 'b'", "meter 'm'", "profile"]
    assert isinstance(refused.value.what, Message)
    assert refused.value.what.code == "config-passive-sunspec"


def test_the_example_of_a_mixed_plant_is_a_configuration_that_works() -> None:
    loaded = load_config(Path(__file__).parents[3] / "configs" / "mixed" / "gateway.toml")
    plans = line_plans(line_specs(loaded))
    assert [(plan.line, plan.problems) for plan in plans] == [("grid", ()), ("pump-station", ()), ("cems", ())]
    assert plans[0].wire.endswith("2400 baud 8E1")
    assert [read.reads for read in plans[2].reads] == [("CN 2051, sent by itself",), ("CN 2061, sent by itself",)]
