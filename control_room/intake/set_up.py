"""Setting a control room up at the broker: its consumer, before any gateway sends records.

The stream that the consumer stands on is made by the broker at the first connection of any MQTT client, so where it is
missing one connects here.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error

from control_room.errors import IntakeError, NoStream
from control_room.intake import consumer
from control_room.intake.consumer import Ensured
from control_room.intake.nats_link import connect, why
from control_room.settings import Settings
from gateway.messages.message import Message
from ledger_client.errors import LedgerClientError
from ledger_client.messages import Sentence, sentence_of
from ledger_client.transport.access import Access
from ledger_client.transport.mqtt_broker import Broker, Handler
from ledger_client.transport.mqtt_options import BrokerOptions

WITHIN_S: Final = 15.0
_MQTT_S: Final = 5.0


class _Client(Handler):
    """An MQTT client that wants nothing."""


def ensure_consumer(settings: Settings, mqtt: str | None = None, database: str | None = None) -> Ensured:
    """The consumer of this control room, made where it is missing.

    Args:
        settings: of the control room.
        mqtt: the address at which the broker takes MQTT clients; None: the usual port of the first of [intake] url.
        database: which database its messages go to; None: that is not compared.

    Raises IntakeError: the broker cannot be reached, does not allow it, or has no stream and cannot be made to have it.
    """
    return asyncio.run(_ensure(settings, mqtt or _usual(settings), database))


async def _ensure(settings: Settings, mqtt: str, database: str | None) -> Ensured:
    access, failures = settings.intake_access(), list[BaseException]()
    try:
        async with asyncio.timeout(WITHIN_S):
            link = await connect(
                settings.intake.urls, access, f"meterseal-control {settings.name}", failed=failures.append,
                lost=_nothing, again=_nothing, once=True,
            )  # fmt: skip
            try:
                return await _made(link, settings.name, mqtt, access, database)
            finally:
                await link.close()
    except (Error, OSError, TimeoutError) as error:
        first = failures[-1] if failures else error
        where = ", ".join(settings.intake.urls)
        raise IntakeError(Message("control-intake-fails", where=where, error=why(first))) from None


async def _made(link: Client, name: str, mqtt: str, access: Access, database: str | None) -> Ensured:
    try:
        return await consumer.ensure(link, name, database)
    except NoStream:
        failure = await asyncio.to_thread(partial(_connect_mqtt, mqtt, name, access))
        if failure is not None:
            raise NoStream(Message("control-no-stream-mqtt", url=mqtt, error=failure)) from None
        return await consumer.ensure(link, name, database)


def _connect_mqtt(url: str, name: str, access: Access) -> Sentence | None:
    """Connect once as an MQTT client; why that failed."""
    mqtt_access = Access(
        ca=access.ca, cert=access.cert, key=access.key, user=access.user, password_file=access.password_file,
        protocol="3.1.1",
    )  # fmt: skip
    try:
        broker = Broker(BrokerOptions(url, f"meterseal-control-{name}-init", mqtt_access), _Client())
    except LedgerClientError as error:
        return sentence_of(error)
    try:
        return None if broker.wait_connected(_MQTT_S) else broker.state
    finally:
        broker.close()


def _usual(settings: Settings) -> str:
    parts = urlsplit(settings.intake.urls[0])
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"mqtts://{host}:8883" if parts.scheme == "tls" else f"mqtt://{host}:1883"


def _nothing() -> None:
    return
