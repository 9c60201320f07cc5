"""Table of the connections of one listener, and which of them is closed when there are too many.

There may be ``most_connections``: twice as many as stations, so that a station may have two, and 500 at least. One more
takes the place of

1. one on which no whole packet of a configured station has come, where those are more than half of all: the oldest, of
   the address that has most of them;
2. else of an older connection of a station that has several: of the station that has most, the one that has been silent
   the longest;
3. else of the oldest one of 1, however few there are.

A connection through which several stations speak is older only where each of them has spoken on another one since. So
at most as many connections as there are stations are never closed, and a newcomer always finds room: a station that
leaks sockets closes its own, and a flood of connections that say nothing its own. Pure.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

from gateway.fieldbus.wire.keys import Unit


class Known(Protocol, Hashable):
    """What the table needs of a connection."""

    host: str
    stations: set[Unit]


C = TypeVar("C", bound=Known)


class Holder(NamedTuple):
    """Who holds most of the connections that might be closed: a station (None: nobody has said a word on them), the
    address from which its last one came, and how many there are of that station or address."""

    station: Unit | None
    host: str
    connections: int


class ConnectionTable(Generic[C]):
    """See the module."""

    def __init__(self) -> None:
        self._all: dict[C, None] = {}
        self._unknown: dict[str, dict[C, None]] = {}
        """By address, the oldest first."""
        self._by_station: dict[Unit, dict[C, None]] = {}
        """By station, the one that was silent the longest first."""

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[C]:
        return iter(self._all)

    def connected(self, station: Unit) -> bool:
        """This station has spoken on one of them."""
        return station in self._by_station

    def add(self, connection: C) -> None:
        """There is a new one."""
        self._all[connection] = None
        self._unknown.setdefault(connection.host, {})[connection] = None

    def heard(self, connection: C, station: Unit) -> None:
        """A whole packet of a configured station has come on it."""
        if connection not in self._all:
            return
        self._forget_unknown(connection)
        connection.stations.add(station)
        of_it = self._by_station.setdefault(station, {})
        of_it.pop(connection, None)
        of_it[connection] = None

    def remove(self, connection: C) -> bool:
        """It is closed. False: it was not there."""
        if connection not in self._all:
            return False
        del self._all[connection]
        self._forget_unknown(connection)
        for station in connection.stations:
            of_it = self._by_station[station]
            del of_it[connection]
            if not of_it:
                del self._by_station[station]
        return True

    def superfluous(self) -> tuple[C, Holder] | None:
        """The one whose place a new one takes, and who holds most; None only of an empty table."""
        quiet = max(self._unknown.values(), key=len, default={})
        if 2 * sum(map(len, self._unknown.values())) > len(self._all):
            return _oldest(quiet)
        for station, of_it in sorted(self._by_station.items(), key=lambda item: len(item[1]), reverse=True):
            if len(of_it) == 1:
                break
            if (older := self._older(of_it)) is not None:
                return older, Holder(station, next(reversed(of_it)).host, len(of_it))
        return _oldest(quiet) if quiet else None

    def _older(self, of_it: dict[C, None]) -> C | None:
        last = next(reversed(of_it))
        for connection in of_it:
            newest = (next(reversed(self._by_station[station])) for station in connection.stations)
            if connection is not last and all(other is not connection for other in newest):
                return connection
        return None

    def _forget_unknown(self, connection: C) -> None:
        of_host = self._unknown.get(connection.host, {})
        of_host.pop(connection, None)
        if not of_host:
            self._unknown.pop(connection.host, None)


def _oldest(quiet: dict[C, None]) -> tuple[C, Holder]:
    oldest = next(iter(quiet))
    return oldest, Holder(None, oldest.host, len(quiet))
