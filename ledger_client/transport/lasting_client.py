"""paho client whose network thread survives any packet of a broker. Network."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

_LOG = logging.getLogger("meterseal.mqtt")

RECONNECT_S = (1, 5)
"""Seconds between two attempts to connect: the first pause, and the longest."""


class LastingClient(Client):
    """paho's client whose network thread survives what a broker's bytes may raise in it.

    ``begin`` makes it connect from scratch; called in the network thread.
    """

    def __init__(
        self, client_id: str, version: MQTTProtocolVersion, clean: bool | None, begin: Callable[[Client], None]
    ) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean, protocol=version)
        self.leaving = threading.Event()
        """Set by whoever closes the connection: the network thread is not to connect again."""
        self.begin = begin
        self.failure: OSError | None = None
        """Why the last attempt to connect failed. Network thread only."""
        self.suppress_exceptions = True  # each callback logs its own faults
        self.reconnect_delay_set(*RECONNECT_S)
        self.on_socket_open = _send_at_once

    def reconnect(self) -> MQTTErrorCode:
        try:
            return super().reconnect()
        except OSError as error:
            self.failure = error  # paho tells nobody why
            raise

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        while True:
            try:
                return super().loop_forever(timeout, retry_first_connection)
            except Exception:  # the thread's outermost frame: no packet may end the connection for ever
                _LOG.exception("connection to %s:%s failed, connecting anew", self.host, self.port)
                if self.leaving.wait(RECONNECT_S[1]):
                    return MQTTErrorCode.MQTT_ERR_UNKNOWN
                self.begin(self)


def _send_at_once(_client: Client, _userdata: object, sock: object) -> None:
    """No Nagle delay: a small message that follows another one would wait for the peer's delayed ACK, 40 ms."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
