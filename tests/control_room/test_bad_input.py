"""What a hostile gateway, or whoever has its login, sends to a running control room: it is refused, seen, and held
against nobody else. The gateway, nats-server, PostgreSQL and the receiver are real processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.config.device_keys import Keys, load_keys
from ledger_client.formats.cose_key import PrivateKey, Signer
from ledger_client.formats.feed_messages import RECORDS, encode_records, topic
from ledger_client.formats.record import Body, Claims, Event, Reading, Value, parse_record, sign_record
from tests.support.fleet.books import books, is_proven, sealed
from tests.support.fleet.site import Fleet, Size, fleet

PATIENCE_S = 180.0
NAME, METER, OTHER = "gw-00", "meter-000", "meter-001"
EPOCH = bytes(7) + b"\1"
TEN_YEARS_S = 315_360_000
RECORD = "meterseal.records r JOIN meterseal.meters m ON m.id = r.meter"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    size = Size(gateways=1, meters=2, every="500ms", seal_every="2s", receivers=1)
    with fleet(tmp_path_factory.mktemp("fleet"), size) as made:
        yield made


def until(what: str, found: Callable[[], Any]) -> Any:
    """What is found as soon as it is something."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := found()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s for {what}"
        time.sleep(0.1)
    return answer


def publish(running: Fleet, *messages: tuple[str, bytes]) -> None:
    """Publish under any topic, as who has a gateway's login, and wait until the broker has it."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "hostile", protocol=mqtt.MQTTv311)
    client.connect("127.0.0.1", running.nodes[0].port)
    client.loop_start()
    for name, data in messages:
        client.publish(name, data, qos=1).wait_for_publish(PATIENCE_S)
    client.disconnect()
    client.loop_stop()


def signed(
    signer: Signer, body: Body, seq: int = 0, gateway: str = NAME, meter: str = METER, iat: int | None = None
) -> bytes:
    """A record of an epoch that no gateway ever began."""
    at = int(time.time()) if iat is None else iat
    return sign_record(Claims(gateway, meter, at, 1, seq, EPOCH, None, "S", 12), body, signer)


def reading(time_s: float, value: float = 1.0) -> Reading:
    return Reading(int(time_s * 1000), (Value("voltage_00", value, "V"),))


def keys_of(running: Fleet) -> Keys:
    return load_keys(running.edges[0].loaded)


def count(running: Fleet, what: str) -> int:
    ((found,),) = running.database.query(f"SELECT count(*) FROM {what}")
    return int(found)


def test_what_is_not_believed_is_seen_and_the_gateway_goes_on(running: Fleet) -> None:
    keys, now_s = keys_of(running), time.time()
    known, strange = keys.meters[METER], PrivateKey.generate()
    at = topic(NAME, RECORDS)
    records = {
        "control-other-gateway": signed(known, reading(now_s), gateway="gw-99"),
        "verify-unknown-meter-key": signed(strange, reading(now_s)),
        "control-null-character": signed(known, Event("noted", {"text": "a\0b"})),
    }
    alone = [encode_records([n], [data]) for n, data in enumerate(records.values(), 1)]
    stranger = encode_records([1], [signed(strange, reading(now_s), gateway="stranger")])
    others_meter = encode_records([1], [signed(known, reading(now_s), meter=OTHER)])
    rubbish = [bytes(1_000_000), b"\x9f" * 100_000, b"\x81" * 100_000, b"\xa3\x61v\x01\x66places\x9b" + b"\xff" * 8]
    bad = [(at, data) for data in (*alone, others_meter, *rubbish)]
    publish(running, *bad, (topic("stranger", RECORDS), stranger), ("meterseal-records/v1/gw-00/nothing", b"\0"))
    expected = len(bad) + 2
    until("every refusal", lambda: count(running, "meterseal.refused") == expected)
    codes = {code for (code,) in running.database.query("SELECT why->>'message' FROM meterseal.refused")}
    assert codes >= records.keys()
    of_stranger = "meterseal.refused WHERE gateway = 'stranger'"
    invented = f"{RECORD} JOIN meterseal.epochs e ON e.id = r.epoch WHERE e.epoch = '\\x{EPOCH.hex()}'"
    assert (count(running, of_stranger), count(running, invented)) == (1, 0)
    mark = [sealed(running.edges[0].loaded)]
    until("a batch after it", lambda: sealed(running.edges[0].loaded).batch > mark[0].batch + 1)
    newest = [sealed(running.edges[0].loaded)]
    until("its proof", lambda: is_proven(running.database, newest))
    found = books(running, newest)
    assert (found.lost, found.changed, found.doubled, found.invented, found.holes, found.forked) == (0, 0, 0, 0, 0, 0)
    assert found.recorded == found.stored == found.proven


def test_a_replay_adds_nothing_and_a_fork_is_kept_apart_with_an_alarm(running: Fleet) -> None:
    until("records", lambda: count(running, f"{RECORD} WHERE m.name = '{METER}' AND r.kind = 'r'") > 2)
    ((place, data),) = running.database.query(
        f"SELECT r.place, r.bytes FROM {RECORD} WHERE m.name = '{METER}' AND r.kind = 'r' ORDER BY r.place LIMIT 1"
    )
    record = parse_record(bytes(data))
    other = sign_record(record.claims, reading(record.time_ms / 1000, 42.0), keys_of(running).meters[METER])
    moved = sign_record(record.claims, reading(record.time_ms / 1000 + 86_400, 43.0), keys_of(running).meters[METER])
    at = topic(NAME, RECORDS)
    replay = (at, encode_records([place], [bytes(data)]))
    publish(running, replay, replay, (at, encode_records([place], [other])), (at, encode_records([place], [moved])))
    until("both forks", lambda: count(running, "meterseal.forks") == 2)
    ((repeated, forked),) = running.database.query("SELECT repeated, forked FROM meterseal.gateways")
    assert (repeated >= 2, forked) == (True, 2)
    same = f"m.name = '{METER}' AND r.seq = {record.claims.seq} AND r.epoch = (SELECT id FROM meterseal.epochs e "
    same += f"WHERE e.epoch = '\\x{record.claims.epoch.hex()}')"
    there = running.database.query(f"SELECT r.bytes FROM {RECORD} WHERE {same}")
    alarms = "meterseal.alarms WHERE source = 'control' AND cleared IS NULL AND code LIKE '%fork%'"
    assert (there, count(running, alarms)) == ([(bytes(data),)], 1)


def test_a_clock_ten_years_ahead_is_kept_and_nothing_waits_for_it(running: Fleet) -> None:
    ahead_s = int(time.time()) + TEN_YEARS_S
    data = signed(keys_of(running).meters[METER], reading(ahead_s), seq=7, iat=ahead_s)
    publish(running, (topic(NAME, RECORDS), encode_records([1], [data])))
    until("the record", lambda: count(running, f"{RECORD} WHERE r.time > now() + interval '9 years'") == 1)
    newest = [sealed(running.edges[0].loaded)]
    until("what is sealed", lambda: is_proven(running.database, newest))
    assert count(running, "meterseal.records_default") == 1
