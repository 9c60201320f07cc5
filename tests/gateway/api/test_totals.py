"""Totals and hours of plans over the API."""

from __future__ import annotations

import pytest

from tests.gateway.api.asked import Asked


def test_the_totals_of_the_site(site: Asked) -> None:
    found = site.json("/totals?period=today", "readings")
    assert found["gateway"] == site.config.gateway_id
    power = {flow["flow"]: flow for flow in found["power"]}
    roles = [meter.role for meter in site.config.meters.values() if meter.in_totals]
    assert power["generation"]["of"] == roles.count("generation") > 0
    (energy,) = found["energy"]
    assert (energy["source"], energy["period"], energy["timezone"]) == ("readings", "today", str(site.config.zone))
    flow = energy["flows"][0]
    assert not flow["complete"], "the gateway began today"
    assert {lack["why"] for lack in flow["missing"]} <= {"begins-late", "no-reading", "asleep", "silent"}
    assert site.json("/totals?period=yesterday")["energy"][0]["flows"][0].get("amount") is None, "no key, and no 0"


@pytest.mark.parametrize(
    ("path", "token", "refused"),
    [
        ("/totals", "status", (403, "token-scope")),
        ("/totals", "meter", (403, "token-of-a-meter")),
        ("/totals?period=next", "readings", (400, "parameter-invalid")),
        ("/totals?period=2999-01", "readings", (400, "parameter-invalid")),
        ("/totals?meter=x", "readings", (400, "parameter-unknown")),
        ("/plans/p/nodes/n/hours", "readings", (404, "node-unknown")),
        ("/plans/p/nodes/n/hours", "status", (403, "token-scope")),
        ("/plans/p/nodes/n/hours", "meter", (403, "token-of-a-meter")),
        ("/plans/p/nodes/n/hours?from=-400d", "readings", (400, "parameter-invalid")),
        ("/plans/p/nodes/n/hours?from=yesterday", "readings", (400, "parameter-invalid")),
    ],
)
def test_what_is_refused(site: Asked, path: str, token: str, refused: tuple[int, str]) -> None:
    assert site.refused(path, token) == refused
