"""Published packets of HJ 212, the standard's own and those of loggers in the field: each gets its verdict and values.

Printed with ``pytest -s``.
"""

from __future__ import annotations

import re

from gateway.fieldbus.hj212.packets import Packet, check_value, frame, parse
from gateway.fieldbus.hj212.splitter import Damaged, Splitter, Whole
from tests.interop.hj212.peer import Row, rows

FACTS = {
    "hj02": ("length", None), "hj07": ("length", None), "hj18": ("unended", None), "hj19": ("crc", None),
    "hj01": ("1062", {"RtdInterval": "30"}),
    "hj03": ("2051", {"DataTime": "20201029121000", "a00000-Cou": "0.000", "a21005-Flag": "B"}),
    "hj04": ("2061", {"a24088-Avg": "0.0196", "a01013-Min": "-130.7116", "a01013-Flag": "T"}),
    "hj06": ("2081", {"RestartTime": "20200425120954"}),
    "hj08": ("2051", {"a01006-Avg": "101.85", "a01006-ValidNum": "10", "a01006-TotalNum": "10"}),
    "hj10": ("2011", {"a00000-Rtd": "5.407", "a01013-Rtd": "-0.052", "a01014-Flag": "N"}),
    "hj11": ("2061", {"a00000-Cou": "11010.8437", "a19001-Max": "19.6944", "a01011-Min": "3.2459", "16-Cou": "0.0000"}),
    "hj12": ("2011", {"a34013-ZsRtd": "0.00", "a01013-Flag": "D"}),
    "hj14": ("2061", {"a34006-Avg": "2.69700", "a34049-Flag": "N"}),
    "hj16": ("2011", {}),
    "hj20": ("2011", {"a2106-Rtd": "0.036", "a2101-Flag": "N"}),
    "hs01": ("9011", {"QnRtn": "1"}), "hs02": ("9012", {"ExeRtn": "1"}), "hs03": ("9013", {}), "hs04": ("9014", {}),
    "hs05": ("2011", {}), "hs06": ("2061", {"BeginTime": "20160801080000", "EndTime": "20160801080000"}),
    "hs07": ("2031", {"w00000-Cou": "1512.0", "w01018-Flag": "N"}),
}  # fmt: skip
"""Of a good packet its command and some of its values, of a damaged one the reason."""


def split(data: bytes) -> list[Whole | Damaged]:
    """What the splitter makes of a stream that then ends."""
    splitter = Splitter()
    splitter.feed(data)
    found: list[Whole | Damaged] = []
    while (one := splitter.take() or splitter.give_up()) is not None:
        found.append(one)
    return found


def test_each_published_packet_gets_its_verdict_and_values() -> None:
    table = [_line(row) for row in rows()]
    print("", "packet  length      CRC          verdict and values", *table, sep="\n")
    assert len(table) == len(FACTS)


def _line(row: Row) -> str:
    what, values = FACTS[row.name]
    (one,) = split(row.packet + b"\r\n")
    if isinstance(one, Damaged):
        figures = one.length_given, one.length_found, one.crc_given, one.crc_found
        assert (one.reason, *figures) == (what, row.length_given, row.length, row.crc_given, row.crc), row
        assert not row.is_good, row
        lengths, values_ = f"{one.length_given}/{one.length_found}", f"{one.crc_given}/{one.crc_found}"
        return f"{row.name}    {lengths:<12}{values_:<13}damaged: {one.reason}"
    packet = parse(one.segment)
    assert isinstance(packet, Packet), row
    assert row.is_good, row
    assert (len(one.segment), f"{check_value(one.segment):04X}") == (row.length, row.crc), row
    assert frame(one.segment).upper() == row.packet.upper() + b"\r\n", row
    head, cp = row.packet[6:].decode().split("CP=&&")
    fields = dict(re.findall(r"(\w+)=(\w*);", head))
    assert (packet.qn, packet.st, packet.pw, packet.mn) == (fields.get("QN"), fields["ST"], fields["PW"], fields["MN"])
    assert packet.flag == (int(fields["Flag"]) if "Flag" in fields else None), row
    assert (packet.part, packet.parts) == (int(fields.get("PNO", 1)), int(fields.get("PNUM", 1))), row
    assert packet.cn == what, row
    assert values is not None, row
    assert packet.places.items() >= values.items(), row
    assert len(packet.places) == len(re.findall(r"[^;,&=]+=[^;,&]+", cp)), row
    shown = " ".join(f"{place}={text}" for place, text in values.items())
    return f"{row.name}    {len(one.segment):<12}{row.crc:<13}CN {packet.cn} {len(packet.places)} items {shown}"
