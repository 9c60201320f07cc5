"""The durable consumer of a control room on the broker's own stream ``$MQTT_msgs``, which all of its receivers share.

The stream is the broker's: it keeps what was published with QoS 1 as long as a consumer wants it, so without ours the
broker acknowledges a gateway's records and drops them. A stream of our own beside it would be filled by the broker
after it has acknowledged, and misses what was under way when a leader dies.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from control_room.errors import NoStream, OtherDatabase
from control_room.intake.topics import BASE, STORED
from gateway.messages.message import Message

STREAM: Final = "$MQTT_msgs"
FILTER: Final = f"{STORED}{BASE}>"
ACK_WAIT_S: Final = 30.0
"""After a receiver was killed, another one gets what it held when this time is over."""
MOST_OUT: Final = 65_536
"""Messages that all receivers together hold."""
_REQUEST_S: Final = 10.0
_DATABASE: Final = "meterseal-database"
_NO_STREAM: Final = 10059
"""JetStream's error: stream not found."""
_KEPT: Final = ("ack_policy", "ack_wait", "max_deliver", "filter_subject", "filter_subjects", "max_ack_pending",
                "num_replicas", "deliver_subject", "inactive_threshold", "headers_only")  # fmt: skip


class Ensured(NamedTuple):
    """The consumer as it is. ``made``: it was missing, and is new; ``mended``: it was configured otherwise."""

    name: str
    created: datetime
    made: bool
    mended: bool
    pending: int
    held: int
    acknowledged: int

    @property
    def stream(self) -> str:
        """The stream that it stands on."""
        return STREAM


def consumer_name(control: str) -> str:
    """Of the control room of this name."""
    return f"meterseal-control-{control}"


async def ensure(link: Client, control: str, database: str | None = None) -> Ensured:
    """The consumer, made or mended where it is not as it has to be.

    Args:
        link: a connection.
        control: the name of the control room.
        database: which database its messages go to; None: that is not compared.

    Raises NoStream; OtherDatabase: its messages go to another one; nats.errors.Error and TimeoutError where the broker
    does not answer or does not allow it.
    """
    stream = link.jetstream(timeout=_REQUEST_S)
    name = consumer_name(control)
    try:
        found = await stream.consumer_info(STREAM, name)
        theirs = (found.config.metadata or {}).get(_DATABASE)
        if database is not None and theirs not in (None, database):
            raise OtherDatabase(Message("control-consumer-other", consumer=name))
        wanted = _config(name, await _replicas(stream), database or theirs)
        if not _differs(found.config, wanted):
            return _ensured(found, made=False, mended=False)
        return _ensured(await stream.add_consumer(STREAM, wanted), made=False, mended=True)
    except NotFoundError as error:
        if error.err_code == _NO_STREAM:
            raise NoStream(Message("control-no-stream")) from None
    wanted = _config(name, await _replicas(stream), database)
    return _ensured(await stream.add_consumer(STREAM, wanted), made=True, mended=False)


async def _replicas(stream: JetStreamContext) -> int:
    try:
        return (await stream.stream_info(STREAM)).config.num_replicas or 1
    except NotFoundError:
        raise NoStream(Message("control-no-stream")) from None


def _config(name: str, replicas: int, database: str | None) -> ConsumerConfig:
    return ConsumerConfig(
        name=name, durable_name=name, description="Meterseal control room: every record of its gateways",
        deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S, max_deliver=-1,
        filter_subject=FILTER, max_ack_pending=MOST_OUT, num_replicas=replicas,
        metadata=None if database is None else {_DATABASE: database},
    )  # fmt: skip


def _differs(found: ConsumerConfig, wanted: ConsumerConfig) -> bool:
    """Whether messages would be left out, or dropped. The broker says 0 and nothing alike."""
    if (wanted.metadata or {}).get(_DATABASE) != (found.metadata or {}).get(_DATABASE):
        return True
    return any((getattr(found, key) or None) != (getattr(wanted, key) or None) for key in _KEPT)


def _ensured(info: ConsumerInfo, *, made: bool, mended: bool) -> Ensured:
    assert isinstance(info.created, datetime)
    floor = info.ack_floor.consumer_seq if info.ack_floor else 0
    return Ensured(info.name, info.created, made, mended, info.num_pending or 0, info.num_ack_pending or 0, floor)
