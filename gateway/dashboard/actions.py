"""Dashboard actions of an installer: orders to the gateway under the user's name. None writes to a meter."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.accounting.plans import exchange
from gateway.dashboard.pages.alarms import MOST_TICKS
from gateway.dashboard.shell import formats
from gateway.dashboard.shell.page import FIELDS, WrongField
from gateway.dashboard.shell.sessions import Done
from gateway.errors import Declined, GatewayError, NotYet
from gateway.messages.languages import sentence_in
from gateway.messages.message import Message
from gateway.runtime.context import GatewayContext
from ledger_client.messages import Sentence

LONGEST = 200
WITHIN_S = 20.0
"""Seconds that a page waits for an act, which continues afterwards: an accepted meter may be in back-off."""
SHELVES_MS = {"1h": 3_600_000, "8h": 8 * 3_600_000, "1d": 86_400_000, "7d": 7 * 86_400_000}
"""Times for which an alarm can be shelved."""
_TICK = re.compile(r"t(\d{1,15})", re.ASCII)
"""The field of an alarm that is ticked."""

_AT = {"accept-final-below": "final", "accept-initial-above": "initial"}
"""The field that a refusal of registers is about."""


Act = Callable[[GatewayContext, str, Mapping[str, str]], Awaitable[Done]]
"""(site, the user's name, the form's fields). Raises GatewayError: why not, with its fix."""


async def acknowledge(site: GatewayContext, user: str, form: Mapping[str, str]) -> Done:
    """Acknowledge one alarm, all of a code, or those that are ticked, as the page showed them."""
    which: dict[str, Any] = {"ids": [int(number[1]) for name in form if (number := _TICK.fullmatch(name))]}
    if "id" in form:
        which = {"ids": [_number(form, "id")]}
    elif "code" in form:
        which = {"code": _text(form, "code")}
    elif not which["ids"]:
        raise Declined(Message("act-acknowledge-unticked"))
    shown_ms, note = _number(form, "shown"), form.get("note", "").strip()[:LONGEST]
    done = await _order(site, "acknowledge-shown", shown=shown_ms, user=user, note=note, **which)
    alarms, changed = done["alarms"], done["changed"]
    if not alarms:
        raise Declined(Message("act-acknowledge-changed", n=changed) if changed else Message("act-acknowledge-none"))
    if changed:
        return Done(Message("act-acknowledged-some", n=len(alarms), changed=changed), well=False)
    if len(alarms) > 1:
        return Done(Message("act-acknowledged-many", n=len(alarms)))
    return Done(Message("act-acknowledged", alarm=_sentence(alarms[0])))


async def shelve(site: GatewayContext, user: str, form: Mapping[str, str]) -> Done:
    """Shelve an alarm for a time."""
    for_ms = SHELVES_MS.get(form.get("for", ""))
    if for_ms is None:
        raise GatewayError(Message("act-shelf-time-missing", choices=tuple(SHELVES_MS)))
    reason = form.get("reason", "").strip()[:LONGEST]
    alarm = await _order(site, "shelve", id=_number(form, "id"), user=user, for_ms=for_ms, reason=reason)
    return Done(Message("act-shelved", for_ms=for_ms, alarm=_sentence(alarm)))


async def unshelve(site: GatewayContext, user: str, form: Mapping[str, str]) -> Done:
    """Return a shelved alarm to the list."""
    alarm = await _order(site, "unshelve", id=_number(form, "id"), user=user)
    return Done(Message("act-unshelved", alarm=_sentence(alarm)))


async def accept(site: GatewayContext, user: str, form: Mapping[str, str]) -> Done:
    """Accept the device that now answers for a meter, by the serial number that the user typed."""
    meter, serial = _text(form, "meter"), _text(form, "serial")
    if meter not in site.config.meters:
        raise Declined(Message("act-no-meter", meter=meter))
    answers = site.line_of(meter).stranger(meter)
    if answers is not None and serial not in (answers, *formats.numbers(answers)):
        raise WrongField("serial", Message("act-serial-differs", meter=meter, serial=serial))
    reason = form.get("reason", "").strip()[:LONGEST]
    registers = _registers(site, meter, user, reason, form)
    done = await _bridging(site, "accept", meter=meter, serial=serial, reason=reason, user=user, registers=registers)
    new, old = (formats.identity(done[name]) for name in ("new", "old"))
    return Done(Message("act-accepted", meter=meter, new=new, old=old))


async def exchange_by_hand(site: GatewayContext, user: str, form: Mapping[str, str]) -> Done:
    """Sign, on the user's word, that a meter without a readable number was exchanged."""
    meter, reason = _text(form, "meter"), form.get("reason", "").strip()[:LONGEST]
    if meter not in site.config.meters:
        raise Declined(Message("act-no-meter", meter=meter))
    if not reason:
        raise WrongField("reason", Message("accept-no-reason", meter=meter))
    since_fall = {"yes": True, "no": False}.get(form.get("since_fall", ""))
    facts = {"by_hand": True, "serial": form.get("serial", "").strip()[:LONGEST], "since_fall": since_fall}
    registers = _registers(site, meter, user, reason, form)
    await _bridging(site, "accept", meter=meter, reason=reason, user=user, registers=registers, **facts)
    return Done(Message("act-exchanged-by-hand", meter=meter))


async def registers(site: GatewayContext, user: str, form: Mapping[str, str]) -> Done:
    """Sign the registers of an exchange that was accepted without them."""
    meter = _text(form, "meter")
    if meter not in site.config.meters:
        raise Declined(Message("act-no-meter", meter=meter))
    entries = _registers(site, meter, user, form.get("reason", "").strip()[:LONGEST], form)
    if not entries:
        raise Declined(Message("act-registers-none"))
    await _bridging(site, "registers", meter=meter, registers=entries)
    return Done(Message("act-registers-signed", meter=meter))


async def clear_shared(site: GatewayContext, user: str, form: Mapping[str, str]) -> Done:
    """End the shared flag of a line whose other master was removed, before its hour is over."""
    line = _text(form, "line")
    await _order(site, "clear-shared", line=line, user=user)
    return Done(Message("act-shared-cleared", line=line))


async def preview(site: GatewayContext, user: str, form: Mapping[str, str]) -> Done:
    """What a reload would change. Changes nothing, and is no event."""
    change = await _order(site, "preview")
    return Done("", {"preview": change})


async def reload(site: GatewayContext, user: str, form: Mapping[str, str]) -> Done:
    """Apply the changed configuration, exactly as it was previewed."""
    done = await _order(site, "reload", fingerprint=_text(form, "fingerprint"), user=user)
    if not done["done"]:
        return Done(Message("act-nothing-changed"))
    return Done(Message("act-reloaded", watch_s=round(done["watched_s"])), {"reload": done})


ACTS: Mapping[str, Act] = {
    "acknowledge": acknowledge,
    "shelve": shelve,
    "unshelve": unshelve,
    "accept": accept,
    "exchange-by-hand": exchange_by_hand,
    "registers": registers,
    "clear-shared": clear_shared,
    "preview": preview,
    "reload": reload,
}
MOST_FIELDS = FIELDS + MOST_TICKS
"""Fields of the form of an order: that of the alarms has a tick for each."""

_going_on: set[asyncio.Task[Any]] = set()


async def _order(site: GatewayContext, name: str, **details: Any) -> dict[str, Any]:
    if name not in site.orders:
        raise GatewayError(Message("act-unknown-order", order=name))
    task = asyncio.create_task(site.order(name, **details), name=f"order {name}")
    _going_on.add(task)
    task.add_done_callback(_going_on.discard)
    await asyncio.wait({task}, timeout=WITHIN_S)
    if not task.done():
        task.add_done_callback(_heard)
        raise NotYet(Message("act-takes-long"))
    return task.result()


async def _bridging(site: GatewayContext, name: str, **details: Any) -> dict[str, Any]:
    """An order about registers; an error about one stands at its field."""
    try:
        return await _order(site, name, **details)
    except Declined as error:
        message = error.message
        if message is None or message.code not in _AT:
            raise
        raise WrongField(f"{_AT[message.code]}.{message.facts['point']}", message) from None


def _registers(site: GatewayContext, meter: str, user: str, reason: str, form: Mapping[str, str]) -> list[str]:
    """The entries that the fields ``final.POINT`` and ``initial.POINT`` say; of a point whose fields are empty none.
    Raises GatewayError."""
    given: dict[str, dict[str, exchange.Register]] = {"final": {}, "initial": {}}
    for name, text in form.items():
        which, _, point = name.partition(".")
        if which not in given or not (text := text.strip()[:LONGEST]):
            continue
        try:
            given[which][point] = exchange.number(text)
        except ValueError:
            raise WrongField(name, Message("act-register-no-number", point=point, text=text)) from None
    final, initial = given["final"], given["initial"]
    for point in sorted(final.keys() ^ initial.keys()):
        lacking = "initial" if point in final else "final"
        raise WrongField(f"{lacking}.{point}", Message("act-register-alone", point=point))
    return exchange.entries(site.config, meter, final, initial, reason, user)


def _sentence(alarm: Mapping[str, Any]) -> Sentence:
    """The text of an alarm as an order answers with it."""
    return sentence_in(alarm, str(alarm["text"]))


def _heard(task: asyncio.Task[Any]) -> None:
    """Take the result that no page waits for; the events state it."""
    if not task.cancelled():
        task.exception()


def _text(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "").strip()
    if not value or len(value) > LONGEST:
        raise GatewayError(Message("act-field-missing", field=name))
    return value


def _number(form: Mapping[str, str], name: str) -> int:
    text = form.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise GatewayError(Message("act-field-no-number", field=name))
    return int(text)
