"""Prometheus metrics of a ledger, on a separate address."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from ledger_client.errors import LedgerUnavailable
from ledger_client.http_server.connection import Turnstile
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.held_key import KeyUnavailable
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.ledger.view import LogView
from ledger_client.transparency.log.log import LogBehind
from ledger_client.transparency.witness.cosigning import AHEAD, COSIGNED, FORKED, Cosigning

_COUNTERS = {
    "answers": ("status", "HTTP answers by status"),
    "refused": ("title", "statements refused, over HTTP and MQTT"),
    "limited": ("by", "requests beyond the rate of an address or of a gateway"),
}


class Figures(Collector):
    """Reads everything at the moment it is asked for; nothing is kept for it meanwhile."""

    def __init__(
        self, ledger: Service, view: LogView, policy: CommittedPolicy, turnstile: Turnstile, cosigning: Cosigning
    ) -> None:
        self._ledger = ledger
        self._view = view
        self._policy = policy
        self._turnstile = turnstile
        self._cosigning = cosigning
        self._since = time.time()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """One family after the other."""
        counts = self._ledger.counts
        for name, (label, text) in _COUNTERS.items():
            family = CounterMetricFamily(f"meterseal_ledger_{name}", text, labels=[label])
            for value, count in sorted(counts.of(name).items()):
                family.add_metric([value], count)
            yield family
        for name, text in (("taken", "statements given a receipt, known ones among them"), ("commits", "transactions")):
            yield CounterMetricFamily(f"meterseal_ledger_{name}", text, value=sum(counts.of(name).values()))
        spent = counts.seconds("commits")
        yield CounterMetricFamily("meterseal_ledger_commit_seconds", "time spent in transactions", value=spent)
        yield self._gauge("entries", "entries of the log, its own among them", self._entries())
        unwritable = self._ledger.unwritable()
        away = isinstance(unwritable, KeyUnavailable)
        yield self._gauge("writable", "1 while the disk takes what is written", float(unwritable is None or away))
        yield self._gauge("key_away", "1 while the token does not sign that holds the ledger's key", float(away))
        behind = float(isinstance(unwritable, LogBehind))
        yield self._gauge("log_behind", "1 while the log does not contain what the ledger has signed for", behind)
        self._policy.current()
        yield self._gauge("policy_in_force", "1 while policy.toml is the policy", float(self._policy.flaw is None))
        yield self._gauge("connections", "open HTTP connections", self._turnstile.clients.total())
        yield self._gauge("start_time_seconds", "when the process began to serve", self._since)
        yield from self._witnesses()

    def _witnesses(self) -> Iterator[GaugeMetricFamily]:
        cosigned = GaugeMetricFamily(
            "meterseal_ledger_witness", "1 where a witness has cosigned when it was asked last", labels=["witness"]
        )
        entries = GaugeMetricFamily(
            "meterseal_ledger_witness_entries", "entries of the log that a witness has cosigned", labels=["witness"]
        )
        forked = GaugeMetricFamily(
            "meterseal_ledger_witness_refused", "1 where a witness has cosigned another log", labels=["witness"]
        )
        for one in self._cosigning.cosigners:
            standing, name = one.standing, [one.vkey.name]
            cosigned.add_metric(name, float(standing.state == COSIGNED))
            entries.add_metric(name, standing.size)
            forked.add_metric(name, float(standing.state in (AHEAD, FORKED)))
        yield from (cosigned, entries, forked)

    def _entries(self) -> float:
        try:
            return self._view.size()
        except LedgerUnavailable:
            return float("nan")

    def _gauge(self, name: str, text: str, value: float) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"meterseal_ledger_{name}", text, value=value)


@contextmanager
def served(figures: Figures, host: str, port: int) -> Iterator[int]:
    """Serve ``/metrics`` in a thread of its own while it lasts; gives the port. Raises OSError."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(figures)
    server, thread = start_http_server(port, host, registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
