"""Every kind of ledger that the contract is held against: how it is reached, how it fails, and what it holds.

``STANDS`` is the table: a further kind needs a line here and a ``Stand``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from ledger_client.ledgers import Ledger, Memory
from ledger_client.ledgers.http import HttpLedger
from ledger_client.ledgers.mqtt import MqttLedger
from ledger_client.transparency.directory import open_dir
from ledger_client.trust import Trust
from tests.contract.faults import Faults
from tests.contract.memory import NearLedger, NearLog
from tests.contract.wire import HttpWire, MqttWire
from tests.ledgers.samples import Gateway
from tests.ledgers.site import Place, Site, site

IMPATIENT_S = 0.5
"""A time-out for the tests in which somebody waits for what never comes."""


class Stand(ABC):
    """One ledger that drivers of one kind talk to, over a wire on which ``faults`` strike."""

    tells = True
    """It can be asked what it holds of a gateway."""

    def __init__(self, place: Place, faults: Faults) -> None:
        self.place, self.faults = place, faults

    @contextmanager
    def driver(self, memory: Memory | None = None, *, timeout_s: float = 5.0) -> Iterator[Ledger]:
        """A new driver, as after a start of its process; what it knows from before is in ``memory``."""
        made = self.make(memory, timeout_s)
        try:
            yield made
        finally:
            made.close()

    @abstractmethod
    def make(self, memory: Memory | None, timeout_s: float) -> Ledger:
        """A driver, for the caller to close."""

    @abstractmethod
    def begin(self) -> None:
        """The ledger starts again over what it holds."""

    @abstractmethod
    def end(self, *, kill: bool) -> None:
        """The ledger stops, in order or not."""

    def enroll(self, gateway: Gateway, *, valid_from: int = 0, extra: str = "") -> Gateway:
        """Let a gateway in; ``extra`` is more of its key's entry."""
        return self.place.enroll(gateway, valid_from=valid_from, extra=extra)

    def held(self, gateway: Gateway) -> list[int]:
        """The batches that the ledger holds of a gateway, by its own log, all of which is checked."""
        return self.place.held(gateway)

    @property
    def trust(self) -> Trust:
        """Whoever believes this ledger."""
        return self.place.trust()


class NearStand(Stand):
    """A log in this process."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        open_dir(folder, "demo-ledger").close()
        super().__init__(Place(folder, "demo-ledger", folder.parent), faults)
        self._folder = folder
        self._log = NearLog(folder)

    def make(self, memory: Memory | None, timeout_s: float) -> Ledger:
        return NearLedger(self._folder, faults=self.faults, log=self._log)

    def begin(self) -> None:
        self._log.begin()

    def end(self, *, kill: bool) -> None:
        self._log.end()


class ServedStand(Stand):
    """The embedded ledger in a process of its own."""

    def __init__(self, served: Site, faults: Faults) -> None:
        super().__init__(served, faults)
        self._served = served

    def begin(self) -> None:
        self._served.ledger.start()

    def end(self, *, kill: bool) -> None:
        if kill:
            self._served.ledger.kill()
        else:
            assert self._served.ledger.stop() == 0


class HttpStand(ServedStand):
    """… over HTTP."""

    def __init__(self, served: Site, faults: Faults) -> None:
        super().__init__(served, faults)
        self.wire = HttpWire(served.ledger.port, faults)

    def make(self, memory: Memory | None, timeout_s: float) -> Ledger:
        return HttpLedger(self.place.name, self.wire.url, timeout_s=timeout_s, memory=memory)


class MqttStand(ServedStand):
    """… through mosquitto."""

    tells = False

    def __init__(self, served: Site, faults: Faults) -> None:
        super().__init__(served, faults)
        port = urlsplit(served.broker.url).port
        assert port is not None
        self.wire = MqttWire(port, faults)

    def make(self, memory: Memory | None, timeout_s: float) -> Ledger:
        return MqttLedger(self.place.name, self.wire.url, timeout_s=timeout_s)


def _memory(folder: Path, stack: ExitStack) -> Stand:
    stand = NearStand(folder / "ledger", Faults())
    stack.callback(stand.end, kill=False)
    return stand


def _http(folder: Path, stack: ExitStack) -> Stand:
    stand = HttpStand(stack.enter_context(site(folder)), Faults())
    stack.callback(stand.wire.close)
    return stand


def _mqtt(folder: Path, stack: ExitStack) -> Stand:
    stand = MqttStand(stack.enter_context(site(folder)), Faults())
    stack.callback(stand.wire.close)
    return stand


STANDS: dict[str, Callable[[Path, ExitStack], Stand]] = {"memory": _memory, "http": _http, "mqtt": _mqtt}
