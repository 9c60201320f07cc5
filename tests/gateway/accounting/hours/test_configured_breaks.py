"""Breaks that events ``configuration`` of a real journal tell (I4): another profile, other ratios, another device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.accounting.hours.feeding import feed
from gateway.config.model import Configured
from gateway.records import CONFIGURATION
from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.registers import Break
from tests.support.gateways.desk import wide_site
from tests.support.stated import METER, Site, plan_fields

OTHERS = ("boiler", "chiller")
PROFILE, RATIOS, MORE = {"profile_hash": b"q" * 32}, {"ratios": {"ct": "200/5"}}, {"ratios": {"ct": "400/5"}}


def site_of(folder: Path) -> Site:
    return Site(folder / "site", wide_site(folder / "site", {"bus-1": [*OTHERS, METER]}))


def with_facts(site: Site, facts: Mapping[str, Any]) -> dict[str, Configured]:
    """What is configured, with facts of the meter that are not those of its file."""
    configured = dict(site.hands.journal.rules.configured)
    return {**configured, METER: replace(configured[METER], **facts)}


def breaks(site: Site) -> list[Break]:
    """Of the meter's register, by the marked records and by all."""
    site.stop()
    store = site.store()
    of_marked, of_all = (
        feed(Books(parse_plan(plan_fields(0))), store, 1, 1 << 40, marked=marked).books for marked in (True, False)
    )
    store.close()
    ((register,), (other,)) = (books.registers.values() for books in (of_marked, of_all))
    assert register.breaks == other.breaks
    return register.breaks


def parts(site: Site) -> list[list[int]]:
    return [event["part"] for event in site.hands.events(CONFIGURATION)]


@pytest.mark.parametrize("at", ["start", "change"])
@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {}, 0), ({}, PROFILE, 1), ({}, RATIOS, 1), (RATIOS, RATIOS, 0), (RATIOS, MORE, 1), (RATIOS, {}, 1),
        (RATIOS, {**RATIOS, **PROFILE}, 1), ({}, {"role": "other", "profile": "renamed"}, 0),
    ],
)  # fmt: skip
def test_another_profile_or_other_ratios_break_the_line(
    tmp_path: Path, at: str, before: Mapping[str, Any], after: Mapping[str, Any], found: int
) -> None:
    site = site_of(tmp_path)
    first, second = with_facts(site, before), with_facts(site, after)
    site.changes(configured=first)
    site.polls(20)
    if at == "start":
        site.stop()
        site.machine.passes(5)
        site.start(configured=second)
    else:
        site.changes(configured=second)
    last = site.register
    site.polls(20)
    assert [(one.before, one.after, one.wrap) for one in breaks(site)] == [
        (last * 1_000_000, (last + 1) * 1_000_000, None)
    ] * found


@pytest.mark.parametrize("at", ["start", "change"])
def test_a_device_breaks_the_line_once_another_one_is_known(tmp_path: Path, at: str) -> None:
    site, found = site_of(tmp_path), list[int]()
    for identity in (None, "one", "one", "another", "another"):
        if identity is not None:
            site.event(METER, "commissioned", identity=identity)
        if at == "start":
            site.stop()
            site.machine.passes(5)
            site.start()
        else:
            site.changes()
        found.append(site.register)
        site.polls(20)
    assert [one.before for one in breaks(site)] == [found[3] * 1_000_000]


def test_the_second_of_several_events_breaks_the_line_too(tmp_path: Path) -> None:
    """Facts of other meters fill the first events; each has at most 60 KiB."""
    site = site_of(tmp_path)
    long = {name: replace(one, ratios={"ct": "9" * 40_000}) for name, one in with_facts(site, {}).items()}
    site.changes(configured={**long, METER: with_facts(site, {})[METER]})
    site.polls(20)
    last = site.register
    site.changes(configured={**long, METER: with_facts(site, RATIOS)[METER]})
    site.polls(20)
    assert parts(site) == [[1, 1], [1, 2], [2, 2], [1, 2], [2, 2]]
    assert METER not in site.hands.events(CONFIGURATION)[3]["meters"]
    assert [one.before for one in breaks(site)] == [last * 1_000_000]
