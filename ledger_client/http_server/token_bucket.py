"""Token buckets: request rate per client address and per gateway. Thread-safe."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

BURST_S = 10  # so many seconds' worth may come at once
MOST = 4096  # buckets remembered; the one that was not asked for the longest is full again or nearly so


class Buckets:
    """Each client has ``rate`` tokens a second on average, and ``burst_s`` times as many at once; rate 0: no limit."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic, *, burst_s: float = BURST_S) -> None:
        self._rate = rate
        self._most = max(1.0, rate * burst_s)
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Take a token: 0 if there was one, else after how many seconds there is."""
        if not self._rate:
            return 0.0
        now = self._clock()
        with self._lock:
            tokens, then = self._buckets.pop(client, (self._most, now))
            tokens = min(self._most, tokens + (now - then) * self._rate)
            wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
            self._buckets[client] = (tokens if wait else tokens - 1), now
            if len(self._buckets) > MOST:
                self._buckets.popitem(last=False)
        return wait


def client_of(host: str) -> str:
    """The client behind an address: itself, or in IPv6 its network of 64 bits, of which one host has every address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else host
