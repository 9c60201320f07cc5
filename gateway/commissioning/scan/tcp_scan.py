"""Scan of addresses for Modbus TCP: the given ones, several at once, each with one connection and one question in
flight."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from gateway.commissioning.scan import tcp_diagnosis
from gateway.commissioning.scan.found import FoundUnit, Progress, ScanResult, Step
from gateway.commissioning.scan.tcp_endpoint import CONNECT_S, PATIENCE_S, Endpoint, EndpointScan, Stopped, Traffic
from gateway.commissioning.scan.tcp_targets import BadTarget, hosts
from gateway.devices.points import Profile
from gateway.messages.message import Message

AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class TcpOptions:
    """``units``: those to ask at each address; None: as the answers suggest. ``yes``: more than 256 addresses are
    meant. ``patience_s``: how long the answer of a unit is waited for. ``profiles``: what a unit may be beside the
    catalog."""

    units: tuple[int, ...] | None = None
    yes: bool = False
    patience_s: float = PATIENCE_S
    profiles: tuple[Profile, ...] = ()


async def scan_tcp(addresses: Sequence[str], port: int, options: TcpOptions, progress: Progress) -> ScanResult:
    """Scan addresses, networks and names.

    Args:
        addresses: as typed, such as 10.0.0.7, 10.0.0.0/28, meter.example.
        port: the TCP port of all.
        options: what narrows or widens it.
        progress: called with each step; False ends the scan with what it has found.

    Raises:
        BadTarget: an address is none, or they are too many; nothing was sent.
    """
    for unit in options.units or ():
        if not 0 <= unit <= 255:
            raise BadTarget(Message("scan-bad-units", unit=unit))
    scan = _Scan(hosts(addresses, yes=options.yes), port, options, progress)
    return await scan.run()


class _Scan:
    def __init__(self, found: Sequence[str], port: int, options: TcpOptions, progress: Progress) -> None:
        self.hosts, self.port, self.options, self.progress = found, port, options, progress
        self.traffic = Traffic()
        self.slots = asyncio.Semaphore(AT_ONCE)
        self.scans = [self._endpoint(host) for host in found]
        self.running = set[EndpointScan]()
        self.done = 0

    def _endpoint(self, host: str) -> EndpointScan:
        options = self.options
        found = partial(self._unit, host)
        return EndpointScan(
            host, self.port, options.units, options.patience_s, options.profiles, self.traffic, self._step, found
        )

    async def run(self) -> ScanResult:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.TaskGroup() as group:
            for scan in self.scans:
                group.create_task(self._one(scan), name=f"scan {scan.result.host}")
        endpoints = [scan.result for scan in self.scans]
        return ScanResult(
            lines=tuple(endpoint.line for endpoint in endpoints if endpoint.units),
            diagnosis=tuple(self._diagnosis(endpoints)),
            complete=not self.traffic.stopped,
            elapsed_s=loop.time() - begun,
            sent_bytes=self.traffic.sent_bytes,
        )

    async def _one(self, scan: EndpointScan) -> None:
        async with self.slots:
            try:
                self.running.add(scan)
                if not self.traffic.stopped:
                    await scan.run()
            except Stopped:
                pass
            finally:
                self.running.discard(scan)
                self.done += 1

    def _diagnosis(self, endpoints: Sequence[Endpoint]) -> list[Message]:
        """What stood in the way. In a network most addresses are empty: those are not named, unless all are."""
        if len(endpoints) == 1:
            return endpoints[0].doubts
        if self.traffic.stopped or any(endpoint.reached for endpoint in endpoints):
            return [sentence for endpoint in endpoints if endpoint.reached for sentence in endpoint.doubts]
        return [tcp_diagnosis.none(len(endpoints), self.port)]

    def _step(self, doing: Message) -> None:
        self._tell(Step(doing, self._left_s()))

    def _unit(self, host: str, unit: FoundUnit) -> None:
        self._tell(Step(Message("scan-step-identify", host=host, unit=unit.address), self._left_s(), unit))

    def _tell(self, step: Step) -> None:
        if not self.progress(step):
            self.traffic.stopped = True

    def _left_s(self) -> float:
        """Of those that run the longest, and for the others a connection that nobody answers."""
        waiting = sum(scan not in self.running for scan in self.scans) - self.done
        return max((scan.left_s for scan in self.running), default=0.0) + waiting / AT_ONCE * CONNECT_S
