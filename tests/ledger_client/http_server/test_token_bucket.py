"""How often one client may ask: buckets by a clock of the test, and a ledger that turns away what is too much."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count

import pytest

from ledger_client.errors import LedgerUnavailable
from ledger_client.http_server.log_limiter import Quiet
from ledger_client.http_server.token_bucket import BURST_S, MOST, Buckets, client_of
from tests.support.brokers.mqtt_client import COSE, Answer, ask
from tests.support.enrolled import Gateway
from tests.support.ledger_site import Site, persist, site

_numbers = count(1)
RATE = 2
BURST = RATE * BURST_S


class Clock:
    """Time that passes when a test advances it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    buckets = Buckets(RATE, clock)
    assert [buckets.take("a") for _ in range(BURST)] == [0.0] * BURST
    assert buckets.take("a") == pytest.approx(1 / RATE)
    assert buckets.take("b") == 0.0
    clock.now += 0.75 / RATE
    assert buckets.take("a") == pytest.approx(0.25 / RATE)  # being turned away costs nothing
    clock.now += 0.25 / RATE
    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0
    clock.now += 3600
    assert [buckets.take("a") for _ in range(BURST)] == [0.0] * BURST
    assert buckets.take("a") > 0


def test_a_rate_below_one_burst_still_gives_something() -> None:
    clock = Clock()
    buckets = Buckets(0.01, clock)
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(100)


def test_no_rate_is_no_limit() -> None:
    buckets = Buckets(0)
    assert not any(buckets.take("a") for _ in range(10_000))


def test_only_so_many_clients_are_remembered() -> None:
    clock = Clock()
    buckets = Buckets(RATE, clock)
    for number in range(3 * MOST):
        clock.now += 0.001
        buckets.take(str(number))
    assert len(buckets._buckets) == MOST


def test_a_log_is_not_filled_by_lines_of_one_kind(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = logging.getLogger("test.quiet")
    log.addFilter(Quiet(clock))
    for number in range(1000):
        log.warning("refused: %s", number)
    log.warning("something else")
    clock.now += 1
    log.warning("refused: %s", "once more")
    log.warning("refused: %s", "and again")
    logged = [record.getMessage() for record in caplog.records]
    assert logged == [
        *(f"refused: {number}" for number in range(10)),
        "something else",
        "refused: once more (and 990 more of this kind before)",
    ]


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("somewhere", "somewhere"),
    ],
)
def test_who_is_one_client(host: str, client: str) -> None:
    assert client_of(host) == client


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A ledger that takes few requests of an address; each test asks from addresses of its own."""
    options = ("--rate", str(RATE), "--gateway-rate", "0.5", "--proxy", "127.0.0.77")
    with site(tmp_path_factory.mktemp("limits"), options=options) as running:
        yield running


def until_turned_away(demo: Site, source: str, headers: dict[str, str] | None = None) -> Answer:
    """Ask until the answer is no; it takes at least a burst."""
    for asked in range(100 * BURST):
        answer = ask(demo, "GET", "/log/head", None, headers, source)
        if answer.status != 200:
            assert asked >= BURST
            return answer
    raise AssertionError("never turned away")


def test_an_address_that_asks_too_often_is_told_when_to_come_back(demo: Site) -> None:
    answer = until_turned_away(demo, "127.0.0.10")
    assert (answer.status, answer.title, answer.retry_after) == (429, "Too Many Requests", "1")
    assert ask(demo, "GET", "/log/head", source="127.0.0.11").status == 200


def test_naming_another_address_helps_nobody_but_a_proxy(demo: Site) -> None:
    names = count(1)

    def forwarded() -> dict[str, str]:
        return {"X-Forwarded-For": f"10.0.0.{next(names)}"}

    until_turned_away(demo, "127.0.0.12")
    assert ask(demo, "GET", "/log/head", None, forwarded(), "127.0.0.12").status == 429
    for _ in range(3 * BURST):
        assert ask(demo, "GET", "/log/head", None, forwarded(), "127.0.0.77").status == 200
    until_turned_away(demo, "127.0.0.77", {"X-Forwarded-For": "10.0.1.1"})


def test_a_body_that_is_not_wanted_is_not_read(demo: Site) -> None:
    until_turned_away(demo, "127.0.0.13")
    assert ask(demo, "POST", "/entries", bytes(100_000), COSE, "127.0.0.13").status == 429


def test_a_gateway_that_submits_too_fast_is_slowed_and_loses_nothing(demo: Site) -> None:
    gateway, other = (demo.enroll(Gateway(f"gw-{next(_numbers)}")) for _ in range(2))
    statuses = [
        ask(demo, "POST", "/entries", gateway.statement(batch), COSE, f"127.0.2.{1 + batch}").status
        for batch in range(8)
    ]
    assert statuses[:5] == [201] * 5
    assert 429 in statuses
    assert ask(demo, "POST", "/entries", other.statement(0), COSE, "127.0.2.100").status == 201
    for batch in range(5):  # what it has is given again at any time
        assert ask(demo, "POST", "/entries", gateway.statement(batch), COSE, "127.0.2.101").status == 201
    taken = statuses.index(429)
    with demo.driver("mqtt", timeout_s=0.5) as driver:
        persist(driver, gateway.statement(taken))  # over MQTT there is no answer until there is room
    assert demo.held(gateway) == list(range(taken + 1))


def test_a_stranger_cannot_use_up_a_gateways_share(demo: Site) -> None:
    gateway = demo.enroll(Gateway(f"gw-{next(_numbers)}"))
    thief = Gateway(gateway.name)
    for batch in range(10):
        answer = ask(demo, "POST", "/entries", thief.statement(batch), COSE, f"127.0.3.{1 + batch}")
        assert answer.title == "Unknown key"
    assert ask(demo, "POST", "/entries", gateway.statement(0), COSE, "127.0.3.100").status == 201


def test_a_driver_waits_for_as_long_as_it_is_told(demo: Site) -> None:
    with demo.driver("http") as driver:

        def ask_on() -> None:
            for _ in range(100 * BURST):
                driver.lookup(bytes(32))

        with pytest.raises(LedgerUnavailable) as caught:
            ask_on()
    assert caught.value.retry_after_s == 1.0
