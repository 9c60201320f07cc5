"""What an installer may do on the pages: orders to the gateway, each of which becomes a signed event with his name.

Nothing here, or that can be ordered from here, can write to a meter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gateway.errors import Declined, GatewayError
from gateway.site import Site

Act = Callable[[Site, str, Mapping[str, str]], Awaitable[str]]
"""(site, the user's name, the form's fields) → what has been done, in words. Raises GatewayError: why not."""

LONGEST = 200


async def accept(site: Site, user: str, form: Mapping[str, str]) -> str:
    """Take values from the device that now answers for a meter, whose serial number was typed."""
    meter, serial = _field(form, "meter"), _field(form, "serial")
    if meter not in site.config.meters:
        raise Declined(f"there is no meter {meter}", "")
    done = await site.order("accept", meter=meter, serial=serial, reason=form.get("reason", "")[:LONGEST], by=user)
    return f"{meter}: {done['new']} is accepted in place of {done['old']}"


def _field(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "").strip()
    if not value or len(value) > LONGEST:
        raise GatewayError(f"{name} is missing", "fill it in")
    return value


ACTS: Mapping[str, Act] = {"accept": accept}
