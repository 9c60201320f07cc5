"""A fleet of real processes: gateways with simulated meters, nats-server, PostgreSQL, an embedded ledger, receivers.

Everything that runs is a shipped command or Debian's; any of it may be killed and started again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.model import Config
from ledger_client.transparency.ledger.show import trust_entry
from tests.support.brokers import postgres
from tests.support.brokers.nats import Node, nats
from tests.support.commands import Answer
from tests.support.gateways.apart import apart
from tests.support.gateways.farm import farm
from tests.support.gateways.sites import make_site, over_http, table, tcp_buses
from tests.support.gateways.tcp_gateway import PROFILE
from tests.support.processes import EmbeddedLedger, Server, embedded_ledger
from tests.system.demo_site import GatewayProcess

LEDGER = "fleet-ledger"
_PATIENCE_S = 600.0
"""A machine that starts twenty gateways takes its time for each."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a fleet is. Times are durations as gateway.toml has them."""

    gateways: int = 2
    meters: int = 3
    every: str = "1s"
    seal_every: str = "5s"
    nodes: int = 1
    receivers: int = 2


class Edge:
    """One gateway: its site, and its process."""

    def __init__(self, loaded: Config) -> None:
        self.loaded = loaded
        self.name = loaded.gateway_id
        self.process = GatewayProcess(loaded)


class Receiver(Server):
    """`meterseal-control run` of a CONTROL.toml; each of several has its number."""

    def __init__(self, settings: Path, number: int) -> None:
        line = [sys.executable, "-u", "-m", "control_room.cli", "run", str(settings)]
        super().__init__(f"receiver {number}", line, "receiving", settings.with_name(f"receiver-{number}.log"))


class Fleet:
    """All of it, running."""

    def __init__(
        self, folder: Path, nodes: list[Node], database: postgres.Database, ledger: EmbeddedLedger, settings: Path
    ) -> None:
        self.folder, self.nodes, self.database, self.ledger, self.settings = folder, nodes, database, ledger, settings
        self.edges: list[Edge] = []
        self.receivers: list[Receiver] = []

    @property
    def trust(self) -> Path:
        """The trust file of the control room: every gateway's keys, and the ledger's."""
        return self.folder / "trust.toml"

    @property
    def archive(self) -> Path:
        """Its batch files."""
        return self.settings.parent / "archive"

    def audit(self) -> dict[str, Answer]:
        """What `meterseal-ledger audit` says of each gateway's part of the archive."""
        return {
            folder.name: apart(
                "ledger_client.cli", "audit", *sorted(folder.rglob("*.mbatch")), "--trust", self.trust, "--json"
            )
            for folder in sorted(self.archive.iterdir())
        }


@contextmanager
def fleet(
    folder: Path,
    size: Size = Size(),
    *,
    cluster: postgres.Cluster | None = None,
    progress: Callable[[str], Any] = lambda _: None,
) -> Iterator[Fleet]:
    """A running fleet, on this PostgreSQL or one of its own; everything of it is ended with the ``with``, the folder
    stays. ``progress`` is given one line for each part before it starts."""
    with ExitStack() as stack:
        progress(f"nats-server, {size.nodes} of them; PostgreSQL; a ledger")
        nodes = stack.enter_context(nats(folder / "nats", size.nodes))
        cluster = cluster or stack.enter_context(postgres.cluster())
        ledger = stack.enter_context(embedded_ledger(folder / "ledger", LEDGER))
        ports = stack.enter_context(farm(size.gateways * size.meters)).ports
        progress(f"{size.gateways} gateways with {size.meters} simulated meters each: configuration, keys, enrolment")
        sites = [
            site_of(folder / f"gateway-{n:02}", n, ports[n * size.meters : (n + 1) * size.meters], size, nodes, ledger)
            for n in range(size.gateways)
        ]
        made = Fleet(folder, nodes, cluster.database("meterseal"), ledger, folder / "control" / "CONTROL.toml")
        made.trust.write_text(trust_text(sites, ledger))
        progress(f"control room with {size.receivers} receivers")
        init_control_room(made)
        made.receivers = [Receiver(made.settings, n) for n in range(1, size.receivers + 1)]
        made.edges = [Edge(loaded) for loaded in sites]
        for process in (*made.receivers, *(edge.process for edge in made.edges)):
            process.patience_s = _PATIENCE_S
            stack.callback(process.close)
        start(made.receivers)
        progress(f"{size.gateways} gateways")
        start([edge.process for edge in made.edges])
        yield made


def start(servers: Sequence[Server]) -> None:
    """Start them side by side."""
    with ThreadPoolExecutor(4) as threads:
        for line in threads.map(Server.start, servers):
            assert line


def site_of(
    folder: Path, number: int, ports: Sequence[int], size: Size, nodes: Sequence[Node], ledger: EmbeddedLedger | None
) -> Config:
    """The site of one gateway; they share the nodes among them. Without a ledger nobody knows its keys."""
    node = nodes[number % len(nodes)]
    return make_site(
        folder,
        table("seal", every=size.seal_every),
        tcp_buses(ports, size.every),
        table("[feed]", name="control-room", type="records", url=node.url, since="oldest"),
        gateway=f"gw-{number:02}",
        ledgers=None if ledger is None else over_http(ledger),
        profiles={"bench.toml": PROFILE},
    )


def trust_text(sites: Sequence[Config], ledger: EmbeddedLedger) -> str:
    """One trust file of all sites' keys, under the policy that they all have, with the ledger's key once."""
    texts = [loaded.trust.read_text().split("[[key]]") for loaded in sites]
    keys = [key for _, *entries in texts for key in entries if 'role = "ledger"' not in key]
    return "[[key]]".join([texts[0][0], *keys]) + "\n" + trust_entry(ledger.folder)


def init_control_room(made: Fleet) -> None:
    """What an operator does once; of a cluster, every node is named."""
    node, database = made.nodes[0], made.database
    done = apart(
        "control_room.cli", "init", made.settings.parent, "--database", database.url, "--password-file",
        database.password_file, "--intake", node.client_url, "--mqtt", node.url, "--trust", made.trust,
    )  # fmt: skip
    assert done.code == 0, done
    text, one = made.settings.read_text(), f'url = "{node.client_url}"'
    assert one in text
    every = ", ".join(f'"{each.client_url}"' for each in made.nodes)
    made.settings.write_text(text.replace(one, f"url = [{every}]"))
