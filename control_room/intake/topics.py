"""Subjects of NATS and topics of MQTT: the server's conversion, the other way round (nats-server, mqtt.go).

A level is a token; what a subject cannot hold stands behind a slash: a dot in a level is ``//``, an empty level ``/.``
or ``./``.
"""

from __future__ import annotations

from typing import Final

STORED: Final = "$MQTT.msgs."
"""What stands before the subject of a message that the server stores in its stream ``$MQTT_msgs``."""
BASE: Final = "meterseal-records.v1."


def topic_of(subject: str) -> str:
    """The MQTT topic under which a stored message was published. Any other subject is taken as it is."""
    rest = subject.removeprefix(STORED)
    topic, i = [], 0
    while i < len(rest):
        letter, following = rest[i], rest[i + 1 : i + 2]
        if letter == "/":
            topic.append({".": "/", "/": "."}.get(following, ""))
            i += 1 if following in (".", "/") and following else 0
        else:
            topic.append("/" if letter == "." else letter)
        i += 1
    return "".join(topic)


def again_subject(gateway: str) -> str:
    """The subject that a gateway, whose name is one level of a topic, subscribes to as ``…/again``."""
    return f"{BASE}{gateway.replace('.', '//')}.again"
