"""Totals on top of Site: what they say, in both languages, and that nothing incomplete looks whole."""

from __future__ import annotations

import re
from datetime import UTC
from fractions import Fraction

import pytest

from gateway.dashboard.pages.totals import SiteTotals, site_totals, state_of
from gateway.dashboard.render.flow_svg import picture
from gateway.dashboard.render.html import HTML
from gateway.dashboard.shell.formats import THIN, Times
from gateway.totals.flows import Flow, Lack
from gateway.totals.reading import Energies
from tests.gateway.dashboard.page_trouble import pending, totals

NOW_MS = 1_800_000_000_000  # 08:00 UTC


def part(language: str, made: SiteTotals) -> str:
    """What the part says, in one line."""
    env, times = HTML.environment(language), Times(NOW_MS, UTC)
    html = env.get_template("totals.html").render(site=type("Site", (), {"totals": made}), times=times, time=times.text)
    return " ".join(re.sub(r"<[^>]+>", " ", html).replace(THIN, " ").split())


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Generation, now: 2 of 4; pv-2: silent since 07:30", "energies are readings, not accounts",
                "Consumption 61.23 uncertain: 1 computed", "Storage", "which way power is"]),
        ("zh", ["发电（当前）：已知 4 项中的 2 项；表计 pv-2：自 07:30 起无读数", "电量为读数，非核算结果",
                "用电 61.23 存疑：1 项 计算值"]),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_in_both_languages(language: str, words: list[str]) -> None:
    text = part(language, totals(NOW_MS))
    assert [one for one in words if one.lower() not in text.lower()] == []
    assert ("2 of 4" if language == "en" else "4 项中的 2 项") in text


def test_a_flow_that_is_not_known_is_a_dash_and_never_0() -> None:
    made = totals(NOW_MS)
    svg = str(picture(HTML.words("en"), made))
    assert re.findall(r'data-flow="(\w+)">([^<]*)<', svg) == [
        ("generation", "24.30"), ("import", "0.000"), ("export", "1234.6"),
        ("charge", "—"), ("discharge", "—"), ("consumption", "61.23"),
    ]  # fmt: skip
    assert svg.count('class="way unknown"') == 2
    assert svg.count('class="way part"') == 1
    assert "Charging not known" in svg


def test_a_page_is_drawn_anew_where_what_flows_or_is_missing_changes() -> None:
    flows = {"generation": Flow(Fraction(5), 1), "import": Flow(Fraction(0), 1)}
    assert state_of(flows) == state_of(flows | {"generation": Flow(Fraction(7), 1)})
    others = (
        Flow(Fraction(0), 1),
        Flow(None, 1, (Lack("a", "silent", 1),)),
        Flow(Fraction(5), 2, (Lack("a", "asleep"),)),
    )
    states = {state_of(flows), *(state_of(flows | {"generation": other}) for other in others)}
    assert len(states) == 1 + len(others)


def test_a_site_of_which_nothing_is_in_totals_has_none() -> None:
    assert site_totals({}, (), 1, NOW_MS, Energies(NOW_MS), UTC) is None
    assert "Energies are being read." in part("en", pending(NOW_MS))
