"""Addresses of a TCP scan: what is taken, and what is refused with the fix."""

from __future__ import annotations

import asyncio

import pytest

from gateway.commissioning.scan.tcp_scan import TcpOptions, scan_tcp
from gateway.commissioning.scan.tcp_targets import BadTarget, hosts
from gateway.messages.message import Message


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        (["10.0.0.7"], ("10.0.0.7",)),
        (["10.0.0.0/30"], ("10.0.0.1", "10.0.0.2")),
        (["10.0.0.5/30"], ("10.0.0.5", "10.0.0.6")),
        (["10.0.0.7/32"], ("10.0.0.7",)),
        (["meter-1.example.", "10.0.0.1", "10.0.0.1"], ("meter-1.example.", "10.0.0.1")),
        (["[fe80::1]", "::1"], ("fe80::1", "::1")),
    ],
)
def test_addresses_networks_and_names_are_taken_as_given(targets: list[str], found: tuple[str, ...]) -> None:
    assert hosts(targets) == found


def test_a_network_of_256_is_the_most_without_yes() -> None:
    assert len(hosts(["10.0.0.0/24"])) == 254
    assert len(hosts(["10.0.0.0/23"], yes=True)) == 510


@pytest.mark.parametrize("yes", [False, True])
def test_a_whole_class_a_network_is_refused_with_the_fix(yes: bool) -> None:
    with pytest.raises(BadTarget, match=r"10\.0\.0\.0/8: 16777216 addresses are too many") as refused:
        hosts(["10.0.0.0/8"], yes=yes)
    assert "10.0.0.0/28" in refused.value.way_out


def test_many_small_ones_are_too_many_as_well() -> None:
    with pytest.raises(BadTarget, match="508 addresses are too many"):
        hosts(["10.0.0.0/24", "10.0.1.0/24"])


@pytest.mark.parametrize("target", ["", "10.0.0.300", "10.0.0.0/33", "a b", "-x.example", "10.0.0.7:502", "x" * 300])
def test_what_is_no_address_is_refused(target: str) -> None:
    with pytest.raises(BadTarget) as refused:
        hosts([target])
    assert refused.value.message == Message("scan-no-address", target=target)


def test_a_unit_that_is_none_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(BadTarget) as refused:
        asyncio.run(scan_tcp(["127.0.0.1"], 9, TcpOptions(units=(1, 300)), lambda step: True))
    assert refused.value.message == Message("scan-bad-units", unit=300)
