"""A Sparkplug host made of pysparkplug, a library that is not ours: reads all of a group, one JSON line a message.

Run by the interpreter of its own environment: foreign_host.py PORT GROUP HOST_ID. Lines on its standard input are
commands: online, offline, old-offline, rebirth NODE, ncmd NODE HEX, quit. It judges nothing; what its payload classes
cannot read is printed as an error.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from paho.mqtt import client as mqtt
from pysparkplug import DataType, Message, Metric, NCmd, State  # type: ignore[import-not-found]
from pysparkplug._protobuf import Payload  # type: ignore[import-not-found]

port, group, host = int(sys.argv[1]), sys.argv[2], sys.argv[3]
births: dict[tuple[str, str | None], Any] = {}
began_ms = int(time.time() * 1000)


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def read_metric(metric: Any, raw: Any) -> dict[str, Any]:
    """A metric as pysparkplug reads it; its properties, which that leaves out, with its protobuf classes."""
    values = dict(zip(raw.properties.keys, raw.properties.values, strict=True))
    return {
        "name": metric.name,
        "value": metric.value,
        "type": DataType(metric.datatype).name,
        "alias": metric.alias,
        "timestamp": metric.timestamp,
        "historical": metric.is_historical,
        "null": metric.is_null,
        "sent": [field for field in ("name", "datatype", "alias") if raw.HasField(field)],
        "properties": {key: getattr(value, value.WhichOneof("value")) for key, value in values.items()},
        "types": {key: value.type for key, value in values.items()},
    }


def heard(_client: Any, _userdata: Any, message: Any) -> None:
    parts = message.topic.split("/")
    kind, device = parts[2], parts[4] if len(parts) > 4 else None
    facts = {"kind": kind, "device": device, "topic": message.topic, "qos": message.qos, "retain": message.retain}
    try:
        read = Message.from_mqtt_message(message, birth=births.get((parts[3], device))).payload
        if kind in ("NBIRTH", "DBIRTH"):
            births[parts[3], device] = read
        raw = Payload.FromString(message.payload)
        metrics = [read.bd_seq_metric] if kind == "NDEATH" else getattr(read, "metrics", ())
        facts["seq"] = raw.seq if raw.HasField("seq") else None
        facts["timestamp"] = raw.timestamp if raw.HasField("timestamp") else None
        facts["metrics"] = [read_metric(*pair) for pair in zip(metrics, raw.metrics, strict=True)]
    except Exception as error:
        facts["error"] = repr(error)
    say(**facts)


def state(online: bool, timestamp: int) -> None:
    payload = State(timestamp=timestamp, online=online).encode()
    client.publish(f"spBv1.0/STATE/{host}", payload, qos=1, retain=True).wait_for_publish()


def rebirth(node: str) -> None:
    ask = Metric(timestamp=began_ms, name="Node Control/Rebirth", datatype=DataType.BOOLEAN, value=True)
    client.publish(f"spBv1.0/{group}/NCMD/{node}", NCmd(timestamp=began_ms, metrics=(ask,)).encode())


client: Any = mqtt.Client(client_id=f"host-{host}", clean_session=True, protocol=mqtt.MQTTv311)
client.on_message = heard
client.on_subscribe = lambda *_: say(kind="ready")
client.connect("127.0.0.1", port)
client.subscribe([(f"spBv1.0/{group}/#", 1)])
client.loop_start()
for line in sys.stdin:
    command, *arguments = line.split()
    if command == "online":
        began_ms = max(began_ms + 1, int(time.time() * 1000))
        state(True, began_ms)
    elif command == "offline":
        state(False, began_ms)
    elif command == "old-offline":
        state(False, began_ms - 1000)
    elif command == "rebirth":
        rebirth(*arguments)
    elif command == "ncmd":
        client.publish(f"spBv1.0/{group}/NCMD/{arguments[0]}", bytes.fromhex(arguments[1]))
    elif command == "quit":
        break
client.disconnect()
client.loop_stop()
