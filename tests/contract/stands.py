"""Every kind of ledger that the contract is held against: how it is reached, how it fails, and what it holds.

``STANDS`` is the table: a further kind needs a line here and a ``Stand``.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from gateway.config.ledger import Contract
from gateway.config.model import Config
from gateway.evidence.settlement import demand_settled
from ledger_client.ledgers.http import HttpLedger
from ledger_client.ledgers.interface import DriverNotes, Ledger
from ledger_client.ledgers.mqtt import MqttLedger
from ledger_client.transparency.ledger.directory import open_dir
from tests.contract.faults import Faults
from tests.contract.memory import NearLedger, NearLog
from tests.contract.wire import HttpWire, MqttWire
from tests.support.brokers.nats import Node, nats
from tests.support.enrolled import Gateway
from tests.support.gateways.sites import believe
from tests.support.ledger_site import Place, Site, site
from tests.support.processes import embedded_ledger

if TYPE_CHECKING:
    from tests.support.brokers.postgres import Cluster

IMPATIENT_S = 0.5
"""A time-out for the tests in which somebody waits for what never comes."""


class Stand(ABC):
    """One ledger that drivers of one kind talk to, over a wire on which ``faults`` strike."""

    tells_last = tells_statements = True
    """It can be asked what it holds of a gateway."""
    takes_receipts = True
    """A statement may be offered with receipts of other ledgers."""
    contract: Contract | None = None
    """Where it lives, if it is one on a chain."""
    titles: ClassVar[Mapping[str, str]] = {}
    """The titles of refusals that are others than the embedded ledger's."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    @contextmanager
    def driver(self, gateway: str, memory: DriverNotes | None = None, *, timeout_s: float = 5.0) -> Iterator[Ledger]:
        """A new driver, as after a start of its process; what it knows from before is in ``memory``."""
        made = self.make(gateway, memory, timeout_s)
        try:
            yield made
        finally:
            made.close()

    @abstractmethod
    def make(self, gateway: str, memory: DriverNotes | None, timeout_s: float) -> Ledger:
        """A gateway's driver, for the caller to close."""

    @abstractmethod
    def begin(self) -> None:
        """The ledger starts again over what it holds."""

    @abstractmethod
    def end(self, *, kill: bool) -> None:
        """The ledger stops, in order or not."""

    @abstractmethod
    def enroll(self, gateway: Gateway) -> Gateway:
        """Let a gateway in."""

    @abstractmethod
    def admit(self, loaded: Config) -> None:
        """Let a whole gateway in, and let it believe this ledger."""

    @abstractmethod
    def revoked(self, gateway: Gateway) -> AbstractContextManager[None]:
        """Within this nothing new of the gateway is taken; afterwards it is, by a new driver."""

    @abstractmethod
    def held(self, gateway: str) -> list[int]:
        """The batches that the ledger holds of a gateway, by its own log, all of which is checked."""

    @abstractmethod
    def demand(self, entry: bytes, answer: bytes) -> None:
        """Raises NotOurs unless the answer settles this statement here."""

    def title(self, title: str) -> str:
        """What a refusal is called here that the embedded ledger gives this title."""
        return self.titles.get(title, title)


class KeyedStand(Stand):
    """A transparency service: it knows the gateways' keys, and gives receipts."""

    def __init__(self, place: Place, faults: Faults) -> None:
        super().__init__(faults)
        self.place = place

    def enroll(self, gateway: Gateway, *, valid_from: int = 0, extra: str = "") -> Gateway:
        """Let a gateway in; ``extra`` is more of its key's entry."""
        return self.place.enroll(gateway, valid_from=valid_from, extra=extra)

    def admit(self, loaded: Config) -> None:
        believe(self.place.folder, loaded)

    def revoked(self, gateway: Gateway) -> AbstractContextManager[None]:
        return self.place.revoked(gateway)

    def held(self, gateway: str) -> list[int]:
        return self.place.held_of(gateway)

    def demand(self, entry: bytes, answer: bytes) -> None:
        demand_settled(entry, answer, self.place.name, self.place.trust(), int(time.time()))


class NearStand(KeyedStand):
    """A log in this process."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        open_dir(folder, "demo-ledger").close()
        super().__init__(Place(folder, "demo-ledger", folder.parent), faults)
        self._folder = folder
        self._log = NearLog(folder)

    def make(self, gateway: str, memory: DriverNotes | None, timeout_s: float) -> Ledger:
        return NearLedger(self._folder, faults=self.faults, log=self._log)

    def begin(self) -> None:
        self._log.begin()

    def end(self, *, kill: bool) -> None:
        self._log.end()


class ServedStand(KeyedStand):
    """The embedded ledger in a process of its own."""

    def __init__(self, served: Site, faults: Faults) -> None:
        super().__init__(served, faults)
        self.served = served

    def begin(self) -> None:
        self.served.ledger.start()

    def end(self, *, kill: bool) -> None:
        if kill:
            self.served.ledger.kill()
        else:
            assert self.served.ledger.stop() == 0


class HttpStand(ServedStand):
    """… over HTTP."""

    def __init__(self, served: Site, faults: Faults) -> None:
        super().__init__(served, faults)
        self.wire = HttpWire(served.ledger.port, faults)

    def make(self, gateway: str, memory: DriverNotes | None, timeout_s: float) -> Ledger:
        return HttpLedger(self.place.name, self.wire.url, timeout_s=timeout_s, memory=memory)


class PostgresqlStand(HttpStand):
    """… with its log in a PostgreSQL of its own."""

    def __init__(self, served: Site, server: Cluster, faults: Faults) -> None:
        super().__init__(served, faults)
        self.server = server


class MqttStand(ServedStand):
    """… through mosquitto."""

    tells_last = tells_statements = takes_receipts = False

    def __init__(self, served: Site, faults: Faults) -> None:
        super().__init__(served, faults)
        port = urlsplit(served.broker.url).port
        assert port is not None
        self.wire = MqttWire(port, faults)

    def make(self, gateway: str, memory: DriverNotes | None, timeout_s: float) -> Ledger:
        return MqttLedger(self.place.name, self.wire.url, timeout_s=timeout_s)


class ClusterStand(MqttStand):
    """… through three nodes of nats-server that keep three copies; ledger and gateway are at two of them."""

    def __init__(self, served: Site, nodes: list[Node], faults: Faults) -> None:
        super().__init__(served, faults)
        self.nodes = nodes


def _memory(folder: Path, stack: ExitStack) -> Stand:
    stand = NearStand(folder / "ledger", Faults())
    stack.callback(stand.end, kill=False)
    return stand


def _http(folder: Path, stack: ExitStack) -> Stand:
    stand = HttpStand(stack.enter_context(site(folder)), Faults())
    stack.callback(stand.wire.close)
    return stand


def _postgresql(folder: Path, stack: ExitStack) -> Stand:
    from tests.support.brokers.postgres import cluster, database

    server = stack.enter_context(cluster())
    log = stack.enter_context(database(server, 1))
    stand = PostgresqlStand(stack.enter_context(site(folder, database=log)), server, Faults())
    stack.callback(stand.wire.close)
    return stand


def _mqtt(folder: Path, stack: ExitStack) -> Stand:
    stand = MqttStand(stack.enter_context(site(folder)), Faults())
    stack.callback(stand.wire.close)
    return stand


def _nats(folder: Path, stack: ExitStack) -> Stand:
    """The same where the broker speaks MQTT 3.1.1 alone."""
    node = stack.enter_context(nats(folder))[0]
    ledger = stack.enter_context(embedded_ledger(folder / "ledger", "demo-ledger", node.url))
    stand = MqttStand(Site(ledger, node, folder), Faults())
    stack.callback(stand.wire.close)
    return stand


def nats_cluster(folder: Path, stack: ExitStack) -> Stand:
    """Not among those that the whole suite is for: the driver is that of ``mqtt``, and the nodes are slow to start."""
    nodes = stack.enter_context(nats(folder, 3))
    ledger = stack.enter_context(embedded_ledger(folder / "ledger", "demo-ledger", nodes[2].url))
    stand = ClusterStand(Site(ledger, nodes[0], folder), nodes, Faults())
    stack.callback(stand.wire.close)
    return stand


def _evm(folder: Path, stack: ExitStack) -> Stand:
    from tests.contract.on_chain import EvmStand  # the libraries of chains are slow to load

    return EvmStand(folder, stack, Faults())


KEYED: dict[str, Callable[[Path, ExitStack], Stand]] = {
    "memory": _memory,
    "http": _http,
    "postgresql": _postgresql,
    "mqtt": _mqtt,
    "mqtt-3.1.1": _nats,
}
STANDS = KEYED | {"evm": _evm}
