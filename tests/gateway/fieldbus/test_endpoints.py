"""Buses of one endpoint are one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.fieldbus.endpoints import endpoint_of, merge
from gateway.fieldbus.wire.errors import FieldbusError
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message
from tests.gateway.fieldbus.devices import meter


def bus(name: str, *units: int, host: str | None = "10.0.0.5", kind: str = "modbus-tcp", **more: object) -> LineSpec:
    meters = tuple(meter(f"{name}{unit}", unit, extra="direct = true") for unit in units)
    spec = LineSpec(name, kind, meters, host=host, tcp_port=502)
    return replace(spec, **more)  # type: ignore[arg-type]


def test_buses_of_one_endpoint_become_one_line_in_their_order() -> None:
    a, b, c = bus("a", 1, timeout_ms=300), bus("b", 9, host="10.0.0.6"), bus("c", 2, 3, tcp_port=None)
    joined, other = merge([a, b, c])
    assert other == b
    assert joined.name == "a_c"
    assert [m.name for m in joined.meters] == ["a1", "c2", "c3"]
    assert [joined.timeout_of(m) for m in joined.meters] == [300, 60, 60]
    assert not joined.direct(joined.meters[0]), "several units stand behind a converter"
    assert [spec.name for spec in merge([a, c, bus("d", 4)])] == ["a_and_2_more"]


def test_lines_of_their_own_stay_as_they_are() -> None:
    serial = LineSpec("s", "modbus-rtu", (meter("m", 1),), port="/dev/ttyS0")
    specs = [bus("a", 1), bus("b", 1, tcp_port=503), bus("c", 1, host="other"), serial]
    assert merge(specs) == specs


@pytest.mark.parametrize(("one", "two"), [("Gate.Example.", "gate.example"), ("fe80::0:1", "fe80:0::1")])
def test_one_host_under_two_spellings(one: str, two: str) -> None:
    assert len(merge([bus("a", 1, host=one), bus("b", 2, host=two)])) == 1


@pytest.mark.parametrize("other", ["127.0.0.1", "::1", "LocalHost", "localhost.", "0:0::1", "::ffff:127.0.0.1"])
def test_localhost_and_its_addresses_are_one_endpoint(other: str) -> None:
    (line,) = merge([bus("a", 1, host="localhost"), bus("b", 2, host=other)])
    assert line.where == "localhost:502", "it is connected to as the first bus says"
    assert len(merge([bus("a", 1, host=other), bus("b", 2, host="localhost", tcp_port=503)])) == 2
    with pytest.raises(FieldbusError) as twice:
        merge([bus("a", 1, host="localhost"), bus("b", 1, host=other)])
    assert twice.value.message == Message("line-address-twice", meter="b1", other="a1", unit=1, where="localhost:502")


def test_another_address_of_the_loopback_is_another_endpoint() -> None:
    assert len(merge([bus("a", 1, host="localhost"), bus("b", 1, host="127.0.0.2")])) == 2


def test_one_unit_address_twice_on_one_endpoint() -> None:
    with pytest.raises(FieldbusError) as error:
        merge([bus("a", 1), bus("b", 1)])
    assert error.value.message == Message("line-address-twice", meter="b1", other="a1", unit=1, where="10.0.0.5:502")
    assert error.value.way_out


@pytest.mark.parametrize("more", [{"kind": "modbus-rtu-over-tcp"}, {"tunnel": True}, {"answer_life_ms": 5000}])
def test_buses_of_one_endpoint_that_contradict_each_other(more: dict[str, object]) -> None:
    with pytest.raises(FieldbusError) as error:
        merge([bus("a", 1), bus("b", 2, **more)])  # type: ignore[arg-type]
    assert error.value.message is not None
    assert error.value.message.code == "line-settings-differ"
    (key,) = more
    named = {"kind": "type", "answer_life_ms": "answer_life"}.get(key, key)
    assert [error.value.message.facts[fact] for fact in ("bus", "other", "key")] == ["a", "b", named]
    assert "[[bus]]" in error.value.way_out


def test_two_buses_of_one_serial_port() -> None:
    specs = [LineSpec(n, "modbus-rtu", (meter(n, 1),), port="/dev/ttyS0") for n in "ab"]
    with pytest.raises(FieldbusError) as error:
        merge(specs)
    assert error.value.message == Message("line-port-twice", bus="a", other="b", where="/dev/ttyS0")


def test_lines_of_one_listener_are_told_apart_by_what_their_dtus_say_first() -> None:
    one = replace(bus("a", 1, host=None, kind="modbus-rtu-over-tcp"), listen=("0.0.0.0", 5000), tcp_port=None)
    a, b = replace(one, hello=(b"north",)), replace(one, name="b", hello=(b"south",))
    assert merge([a, b]) == [a, b]
    assert endpoint_of(replace(a, name="renamed", heartbeat=(b"",))) == endpoint_of(a) != endpoint_of(b)
    with pytest.raises(FieldbusError, match=r"have the same port 0\.0\.0\.0:5000"):
        merge([one, replace(one, name="b")])


def test_what_is_asked_behind_a_dtu_that_dials_in_may_take_as_long_as_in_a_tunnel() -> None:
    spec = bus("a", 1, host=None, kind="modbus-rtu-over-tcp", listen=("::", 5000), tcp_port=None)
    asked = replace(spec.meters[0], timeout_ms=None)
    assert (spec.timeout_of(asked), spec.answer_life_of(asked)) == (15_000, 90_000)
    assert replace(spec, answer_life_ms=700).answer_life_of(asked) == 700
    assert spec.where == "[::]:5000"
