"""Listeners in `meterseal status`, and the packets that they refused, as text."""

from __future__ import annotations

import io
from collections import Counter

from rich.console import Console

from gateway.cli.refused_view import DAMAGED, REASONS, listener_lines, print_refused
from gateway.fieldbus.hj212.refused import ListenerFacts, Refused
from gateway.fieldbus.listening.sources import SOURCES
from gateway.fieldbus.obis.p1_source import P1Facts
from gateway.fieldbus.obis.splitter import Damaged
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.languages import in_language
from gateway.messages.message import Message
from gateway.status.listeners import ListenerStatus

LENGTH = Refused(1_800_000_000_000, "10.0.0.7:4711", "length", None, "##0428QN=[red]", 428, 431, "0b40", "B8C1")
STATION = Refused(1_800_000_001_000, "10.0.0.8:4712", "station", "C3", "##0065QN=", 65, 65, "09c0", "09C0")
FORM = Refused(1_800_000_002_000, "10.0.0.8:4712", "form", "B2", "##0065", 65, 65, "AA", "AA", "field CN is missing")


def facts() -> ListenerFacts:
    listener = ListenerFacts()
    for refused in (LENGTH, STATION, FORM):
        listener.refuse(refused)
    return listener


def printed(**lines: list[dict[str, object]]) -> list[str]:
    out = Console(file=io.StringIO(), width=200)
    print_refused(out, lines)
    assert isinstance(out.file, io.StringIO)
    return [" ".join(line.split()) for line in out.file.getvalue().splitlines()]


def test_a_refused_packet_is_shown_with_its_figures_and_those_found() -> None:
    assert printed(plant=facts().refusals(), other=[]) == [
        "plant 3 packets refused last",
        "time from reason station length CRC begins with",
        "2027-01-15T08:00:00.000Z 10.0.0.7:4711 length wrong 428, found 431 0b40, found B8C1 ##0428QN=[red]",
        "2027-01-15T08:00:01.000Z 10.0.0.8:4712 station not configured C3 65 09c0 ##0065QN=",
        "2027-01-15T08:00:02.000Z 10.0.0.8:4712 not understood: field CN is missing B2 65 AA ##0065",
        "other no packet refused",
    ]


def test_the_status_counts_them_and_names_factors_without_a_point() -> None:
    listener = facts()
    listener.counters["heard"] = 7
    for cn in ("3020", "2061", "2061"):
        listener.command(cn)
    listener.name_factors("stack", {"a21003", "a05002"})
    assert list(listener_lines(ListenerStatus.of("plant", listener.as_json()))) == [
        "plant: 7 packets with data taken, 3 refused "
        "(1 not understood, 1 length wrong, 1 station not configured): see --refused",
        "plant: packets of known stations that no meter takes: 2 of CN 2061, 1 of CN 3020",
        "meter stack: its profile does not name a05002, a21003",
    ]
    assert list(listener_lines(ListenerStatus.of("plant", ListenerFacts().as_json()))) == [
        "plant: 0 packets with data taken"
    ]


def test_each_reason_has_its_words() -> None:
    described = (Refused.__doc__ or "").partition("``reason``:")[2]
    assert set(REASONS) == {word for word in described.replace("\n", " ").split("``")[1::2] if word != "detail"}


def test_a_p1_port_shows_its_telegrams_and_no_packets_of_loggers() -> None:
    found = P1Facts(Counter(heard=812, unchecked=12, crc=2, unended=1), skipped_bytes=120)
    found.units["grid"] = {"1-0:1.8.1": "kcal", "1-0:2.8.1": ""}
    assert list(listener_lines(ListenerStatus.of("p1", found.as_json()))) == [
        "p1: 824 telegrams taken (12 of them without a check value), 3 damaged (2 check value wrong, 1 did not end), "
        "120 bytes outside of any",
        "meter grid: 1-0:1.8.1 comes in 'kcal', which its profile does not convert: no value is recorded of it",
        "meter grid: 1-0:2.8.1 comes without a unit, which its profile does not convert: no value is recorded of it",
    ]
    assert ListenerStatus.of("p1", found.as_json()).as_json() == {"line": "p1", **found.as_json()}
    assert list(listener_lines(ListenerStatus.of("p1", P1Facts().as_json()))) == ["p1: 0 telegrams taken"]


def test_a_line_that_is_overheard_shows_no_packets_of_loggers_before_its_first_exchange() -> None:
    found = ListenerStatus.of("bus", {"exchanges": {}, "never_asked": {}})
    assert list(listener_lines(found)) == [
        "bus: 0 questions of another master, 0 answers taken, 0 doubtful, 0 unanswered"
    ]


def test_each_kind_of_damage_has_its_words() -> None:
    described = (Damaged.__doc__ or "").replace("\n", " ").split("``")[1::2]
    assert set(DAMAGED) == {word for word in described if word != "!"}


def test_a_line_of_loggers_whose_packets_are_all_refused_is_not_called_silent() -> None:
    spec, kind = LineSpec("plant", "hj212", (), listen=("127.0.0.1", 9000)), SOURCES["hj212"]
    assert kind.silence(spec, None, Counter()) == Message("line-sends-nothing", line="plant", where=spec.where)
    silence = kind.silence(spec, None, facts().came)
    assert in_language(silence, "en") == (
        "plant: 3 packets came to 127.0.0.1:9000 and were refused, and none was taken (form 1, length 1, station 1)"
    )
