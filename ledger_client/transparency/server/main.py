"""Ledger process (``meterseal-ledger serve``): one folder, one HTTP address, optionally one broker."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from ledger_client.http_server.connection import Turnstile
from ledger_client.http_server.listening import ListenError, listen_at
from ledger_client.http_server.log_limiter import Quiet
from ledger_client.http_server.tls_reload import Certificates
from ledger_client.tokens.calls import STANDARD, Limits
from ledger_client.transparency.ledger.claim_view import ClaimView
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import open_dir
from ledger_client.transparency.ledger.held_key import TokenPlace
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.ledger.view import LogView
from ledger_client.transparency.server.endpoints import Doors
from ledger_client.transparency.server.key_watch import KeyWatch
from ledger_client.transparency.server.mqtt import MqttService
from ledger_client.transparency.server.routes import app
from ledger_client.transparency.witness.cosigning import Cosigning, cosigners_of

_GRACE_S = 3
_MAX_HEAD = 16 * 1024  # bytes of a request's head
_KEEP_ALIVE_S = 60


class _Server(uvicorn.Server):
    """uvicorn that says when it accepts connections."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._say_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._say_started()


@dataclass(frozen=True, slots=True)
class Serving:
    """How a ledger is served, beside its ``Doors``: the options of the command, by their names."""

    name: str | None = None
    metrics: str | None = None
    rate: float = 200
    gateway_rate: float = 100
    connections: int = 512
    proxy: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()
    now: Callable[[], float] = time.time
    key: TokenPlace | None = None
    limits: Limits = STANDARD


def serve(path: Path, doors: Doors, options: Serving, say: Callable[[str], None]) -> None:
    """Serve the ledger in ``path`` until SIGTERM or SIGINT; ``say`` gets the lines of its start.

    Raises ``LedgerClientError`` for whatever keeps it from starting.
    """
    doors.check()
    proxies = frozenset(_proxy(address) for address in options.proxy)
    logging.getLogger("meterseal.ledger").addFilter(Quiet())
    with ExitStack() as stack:
        listener = stack.enter_context(closing(listen_at(doors.listen)))
        folder = stack.enter_context(
            closing(open_dir(path, options.name, options.now, key=options.key, limits=options.limits))
        )
        policy = CommittedPolicy.begun(folder, options.now)
        ledger = Service(folder, policy, now=options.now, gateway_rate=options.gateway_rate)
        view = LogView(folder, options.now)
        cosigning = stack.enter_context(closing(Cosigning(view, cosigners_of(options.witnesses, folder.vkey))))
        turnstile = turnstile_of(options.connections, proxies)
        if options.metrics is not None:
            say(stack.enter_context(_metrics(options.metrics, ledger, view, policy, turnstile, cosigning)))
        if doors.mqtt is not None:
            stack.enter_context(closing(MqttService(ledger, doors.mqtt, doors.broker)))
        site = app(
            ledger,
            view,
            ClaimView(folder, policy, options.now),
            cosigning,
            policy_in_force=lambda: _in_force(policy),
            address_rate=options.rate,
        )
        started = f"ledger {ledger.name} listens on {url_of(doors, listener)}"

        key_watch = stack.enter_context(closing(KeyWatch(folder.away)))

        def begun() -> None:
            say(started)
            key_watch.start()
            cosigning.start()

        run_site(site, turnstile, listener, doors, begun)


def _proxy(text: str) -> str:
    """The address of a proxy as connections show it; anything else would be believed of everybody, or of nobody."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ListenError(f"--proxy {text!r}: not an IP address", "give the one that the proxy connects from") from None


def _in_force(policy: CommittedPolicy) -> bool:
    policy.current()
    return policy.flaw is None


def turnstile_of(connections: int, trusted: frozenset[str] = frozenset()) -> Turnstile:
    """At most so many connections at once, a quarter of them of one address; ``trusted``: proxies."""
    return Turnstile(
        idle_s=_KEEP_ALIVE_S + _GRACE_S, most=connections, most_of_one=max(1, connections // 4), trusted=trusted
    )


@contextmanager
def _metrics(
    address: str,
    ledger: Service,
    view: LogView,
    policy: CommittedPolicy,
    turnstile: Turnstile,
    cosigning: Cosigning,
) -> Iterator[str]:
    """Figures at HOST:PORT while it lasts; gives the line that says where."""
    from ledger_client.transparency.server.metrics import (  # needs its library only where it is asked for
        Figures,
        served,
    )

    with closing(listen_at(address, "--metrics")) as probe:  # says what is wrong with an address
        host, port = probe.getsockname()[:2]
    with served(Figures(ledger, view, policy, turnstile, cosigning), host, port) as taken:
        yield f"metrics at http://{f'[{host}]' if ':' in host else host}:{taken}/metrics"


def run_site(
    site: ASGIApp, turnstile: Turnstile, listener: socket.socket, doors: Doors, started: Callable[[], None]
) -> None:
    """Serve a site until SIGTERM or SIGINT; ``started`` is called when it accepts connections."""
    config = uvicorn.Config(
        site,
        loop="asyncio",
        http=turnstile.protocol(None if doors.cert is None else Certificates(doors.https_access).context),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(turnstile.trusted),  # else whoever names another address would be another client
        forwarded_allow_ips=sorted(turnstile.trusted),
        h11_max_incomplete_event_size=_MAX_HEAD,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    # uvicorn raises the signal that ended it once more when it is done; being asked to stop is no failure
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # its warnings are about what strangers send, a line each
    _Server(config, started).run(sockets=[listener])


def url_of(doors: Doors, listener: socket.socket) -> str:
    """The address at which a listener is reached."""
    host, port = listener.getsockname()[:2]
    return f"{doors.scheme}://[{host}]:{port}" if ":" in host else f"{doors.scheme}://{host}:{port}"
