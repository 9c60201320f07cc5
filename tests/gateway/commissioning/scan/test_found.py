"""Results of scans: JSON both ways, ties, and JSON that is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.commissioning.scan.found import FORMAT, BadScanFile, Candidate, FoundLine, FoundUnit, ScanResult
from gateway.messages.message import Message

MESSAGE = Message("answer-none")
UNIT = FoundUnit(
    7, "modbus", (Candidate("sdm630", 0.9, (MESSAGE,), "big"), Candidate("sdm72", 0.4)), (MESSAGE,), "20114711", 41.5
)
RESULT = ScanResult(
    (
        FoundLine("modbus-rtu", port="/dev/ttyUSB0", baudrate=2400, parity="E", stopbits=1, units=(UNIT,)),
        FoundLine("dlt645", port="/dev/ttyUSB0", units=(FoundUnit("202311220001", "dlt645"),)),
        FoundLine("modbus-tcp", host="10.0.0.7", tcp_port=502, units=(FoundUnit(1, "sunspec"),)),
    ),
    (MESSAGE,),
    complete=False,
    elapsed_s=12.5,
    sent_bytes=816,
)


def test_a_result_is_the_same_after_json() -> None:
    written = json.dumps(RESULT.as_json(), allow_nan=False)
    assert ScanResult.of_json(json.loads(written)) == RESULT
    assert str(MESSAGE) in written


def test_candidates_of_equal_confidence_are_a_tie_and_none_is_best() -> None:
    tied = FoundUnit(1, "modbus", (Candidate("a", 0.7), Candidate("b", 0.7), Candidate("c", 0.1)))
    assert tied.best is None
    assert [c.profile for c in tied.tie] == ["a", "b"]
    assert UNIT.best is UNIT.candidates[0]
    assert UNIT.tie == ()
    assert FoundUnit(1, "modbus").best is None
    assert FoundUnit(1, "modbus").tie == ()


def _with(fields: dict[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(fields))
    at = copy
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return copy  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ([], FORMAT),
        ({}, FORMAT),
        (_with(RESULT.as_json(), "lines", value=None), "lines: "),
        (_with(RESULT.as_json(), "lines", 0, "type", value="serial"), "type: "),
        (_with(RESULT.as_json(), "lines", 0, "baudrate", value="9600"), "baudrate: "),
        (_with(RESULT.as_json(), "lines", 0, "type", value={"modbus-rtu": 1}), "type: "),
        (_with(RESULT.as_json(), "lines", 0, "port", value=None), "port: "),
        (_with(RESULT.as_json(), "lines", 2, "port", value="/dev/ttyUSB0"), "port: "),
        (_with(RESULT.as_json(), "lines", 2, "port", value=""), "port: "),
        (_with(RESULT.as_json(), "lines", 0, "units", 0, "identity", value="1\n[ledger]"), "identity: "),
        (_with(RESULT.as_json(), "lines", 0, "parity", value="X"), "parity: "),
        (_with(RESULT.as_json(), "lines", 2, "host", value=None), "host: "),
        (_with(RESULT.as_json(), "lines", 2, "tcp_port", value=70000), "tcp_port: "),
        (_with(RESULT.as_json(), "lines", 0, "units", 0, "address", value=True), "address: "),
        (_with(RESULT.as_json(), "lines", 0, "units", 0, "address", value="7"), "address: "),
        (_with(RESULT.as_json(), "lines", 0, "units", 0, "address", value=300), "address: "),
        (_with(RESULT.as_json(), "lines", 1, "units", 0, "address", value="20231122000"), "address: "),
        (_with(RESULT.as_json(), "lines", 0, "units", 0, "protocol", value=["modbus"]), "protocol: "),
        (_with(RESULT.as_json(), "lines", 0, "units", 0, "protocol", value="hart"), "protocol: "),
        (_with(RESULT.as_json(), "lines", 0, "units", 0, "candidates", value=[1]), "candidates: "),
        (_with(RESULT.as_json(), "lines", 0, "units", 0, "candidates", 0, "confidence", value=None), "confidence: "),
        (_with(RESULT.as_json(), "diagnosis", value=["no"]), "diagnosis: "),
        (_with(RESULT.as_json(), "complete", value=1), "complete: "),
    ],
)
def test_json_that_is_no_result_is_refused_by_its_key(fields: Any, says: str) -> None:
    with pytest.raises(BadScanFile) as refused:
        ScanResult.of_json(fields)
    assert says in refused.value.problem
