"""Addresses of a TCP scan: those that are given, and no others. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence

from gateway.errors import GatewayError
from gateway.messages.message import Message

MOST, MOST_AT_ALL = 256, 65_536
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


class BadTarget(GatewayError):
    """What cannot be scanned: it is no address, or too many."""


def hosts(targets: Sequence[str], *, yes: bool = False) -> tuple[str, ...]:
    """The hosts of addresses, networks (10.0.0.0/28) and names, each once, in their order.

    Args:
        targets: as they were typed.
        yes: more than ``MOST`` of them are meant.

    Raises:
        BadTarget: one of them is none of these, or they are too many.
    """
    found: dict[str, None] = {}
    for target in targets:
        for host in _hosts(target.strip(), yes=yes):
            found[host] = None
        _limit(target, len(found), yes=yes)
    return tuple(found)


def _limit(target: str, count: int, *, yes: bool) -> None:
    if count > (MOST_AT_ALL if yes else MOST):
        raise BadTarget(Message("scan-too-many", target=target, n=count))


def _hosts(target: str, *, yes: bool) -> Iterator[str]:
    if "/" in target:
        try:
            network = ipaddress.ip_network(target, strict=False)
        except ValueError:
            raise BadTarget(Message("scan-no-address", target=target)) from None
        _limit(target, network.num_addresses, yes=yes)
        yield from map(str, network.hosts())
        return
    bare = target[1:-1] if target.startswith("[") and target.endswith("]") else target
    try:
        yield str(ipaddress.ip_address(bare))
    except ValueError:
        labels = target.rstrip(".").split(".")
        numbers = labels[-1].isdecimal()  # the last label of a name is never a number: 10.0.0.300 is a mistake
        if numbers or not target or len(target) > 253 or not all(map(_LABEL.fullmatch, labels)):
            raise BadTarget(Message("scan-no-address", target=target)) from None
        yield target
