"""Diagnosis of TCP and of answers: one function a sentence, each for one trouble that was seen. Pure."""

from __future__ import annotations

from gateway.commissioning.scan.found import FoundUnit
from gateway.messages.message import Message

OF_ANSWERS = ("scan-words-swapped", "scan-reads-too-long")
"""Sentences that identification puts among the evidence of a unit."""

SHOWN, MOST_SHOWN = 7, 60
"""Bytes of what was heard that are shown, and characters of a text."""


def of_answers(unit: FoundUnit) -> list[Message]:
    """What is wrong with the answers of a unit."""
    return [sentence for sentence in unit.evidence if sentence.code in OF_ANSWERS]


def closed(host: str, tcp_port: int) -> Message:
    """The connection is refused: nothing listens there."""
    return Message("scan-tcp-closed", host=host, port=tcp_port)


def no_host(host: str) -> Message:
    """The connection is not answered, or there is no way to the host."""
    return Message("scan-tcp-no-host", host=host)


def no_name(host: str) -> Message:
    """The name has no address."""
    return Message("scan-tcp-no-name", host=host)


def taken(host: str, tcp_port: int) -> Message:
    """Connections are taken, and end without an answer."""
    return Message("scan-tcp-taken", host=host, port=tcp_port)


def silent(host: str, tcp_port: int) -> Message:
    """A connection stands, and no unit that was asked answers on it, neither in Modbus TCP nor in RTU."""
    return Message("scan-tcp-silent", host=host, port=tcp_port)


def no_modbus(host: str, tcp_port: int) -> Message:
    """What comes back is an answer to nothing that was asked, neither in Modbus TCP nor in RTU."""
    return Message("scan-tcp-no-modbus", host=host, port=tcp_port)


def service(host: str, tcp_port: int, heard: bytes) -> Message | None:
    """A well-known service by the first bytes that it sent; None: it is none of these.

    Sources: RFC 9112 4, RFC 4253 4.2, RFC 8446 5.1 (an alert), RFC 5321 4.2 and RFC 959 4.2, RFC 854.
    """
    text = "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in heard.partition(b"\r")[0][:MOST_SHOWN])
    codes = heard[:SHOWN].hex(" ")
    if heard.startswith((b"HTTP/", b"<!DOCTYPE", b"<html")):
        return Message("scan-tcp-web", host=host, port=tcp_port, heard=text)
    if heard.startswith(b"SSH-"):
        return Message("scan-tcp-ssh", host=host, port=tcp_port, heard=text)
    if heard.startswith(b"\x15\x03"):
        return Message("scan-tcp-tls", host=host, port=tcp_port, heard=codes)
    if heard.startswith(b"220 "):
        return Message("scan-tcp-mail", host=host, port=tcp_port, heard=text)
    if heard.startswith((b"\xff\xfb", b"\xff\xfd")):
        return Message("scan-tcp-telnet", host=host, port=tcp_port, heard=codes)
    return None


def rtu(host: str, tcp_port: int) -> Message:
    """RTU frames are answered, Modbus TCP is not."""
    return Message("scan-tcp-rtu", host=host, port=tcp_port)


def no_units(host: str, tcp_port: int, code: int) -> Message:
    """A converter answers for each unit that it got nothing of it."""
    return Message("scan-tcp-no-units", host=host, port=tcp_port, exception=format(code, "02X"))


def none(addresses: int, tcp_port: int) -> Message:
    """None of several addresses takes a connection."""
    return Message("scan-tcp-none", n=addresses, port=tcp_port)
