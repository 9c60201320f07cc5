"""Read end of a line: an open port or connection out of which bytes can only be read, never sent."""

from __future__ import annotations

import os

from gateway.fieldbus.wire.stream_link import Port

CHUNK = 65_536


class ReadEnd:
    """All that a passive source holds of its port. A serial port is also opened for reading alone
    (``serial_port.open_to_read``), so that the kernel refuses a write; of a socket this object is the only way. A
    connection is not shut down in one direction: converters take that for goodbye."""

    __slots__ = ("__close", "fd")

    def __init__(self, port: Port) -> None:
        self.fd, self.__close = port.fd, port.close

    def read(self) -> bytes | None:
        """What waits in the kernel; None: nothing now; empty: the other end is gone. Raises OSError."""
        try:
            return os.read(self.fd, CHUNK)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Release it."""
        self.__close()
