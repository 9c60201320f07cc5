"""Parameters of the HTTP API's shared routes, and how a request's are read: each once, and none that is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self, TypeVar, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gateway.api.shapes.cursors import LONGEST
from gateway.api.shapes.models import Name
from gateway.api.shapes.problems import Refusal
from gateway.api.shapes.tokens import Token
from gateway.messages.message import Message

P = TypeVar("P", bound="Parameters")

MOST_SEQ = 10**18 - 1


def _digits(text: object) -> object:
    """Only what is written as a number: Python takes "1_0", " 1" and other scripts' digits, too."""
    if isinstance(text, str) and not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20):
        raise ValueError("not a whole number")
    return text


Digits = BeforeValidator(_digits)
"""Of a parameter that is an int, behind its bounds."""
Limit = Annotated[int, Field(ge=1, le=1000, description="Items of a page, at most."), Digits]
LongLimit = Annotated[int, Field(ge=1, le=10_000, description="Readings of a page, at most."), Digits]
_INSTANT = (
    r"^(now|-[0-9]{1,9}(ms|s|m|min|h|d)"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2}))$"
)
"""The form of an instant, for the description; ``local_calendar.instant_of`` is who reads it."""
Instant = Annotated[
    str | None,
    Field(
        max_length=40,
        description="RFC 3339 with an offset, an age such as `-24h`, or `now`.",
        json_schema_extra={"pattern": _INSTANT},
    ),
]
Points = Annotated[
    str | None,
    Field(min_length=1, max_length=4000, pattern=r"^[^,]+(,[^,]+)*$", description="Only these, separated by commas."),
]
Cursor = Annotated[
    str | None, Field(min_length=1, max_length=LONGEST, description="`next` of the page before, of the same query.")
]


class Parameters(BaseModel):
    """Of the path and the query, by name. One that is a tuple may be given several times, any other once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def bound_to(self, token: Token) -> Self:
        """The same for a token of one gateway or one meter. Raises Refusal: it asks for another one, or for what is
        the site's. To a token of one gateway there is no other one."""
        found = self
        for name, only in (("gateway", token.gateway), ("meter", token.meter)):
            if only is None:
                continue
            if name not in type(self).model_fields:
                raise Refusal(Message("token-of-a-meter", meter=only))
            asked = getattr(self, name)
            if asked not in (None, only) and name == "gateway":
                raise Refusal(Message("gateway-unknown", gateway=asked))
            if asked not in (None, only):
                raise Refusal(Message("token-other-meter", meter=only))
            found = found.model_copy(update={name: only})
        return found


OneGateway = Annotated[Name | None, Field(description="Only of this gateway.")]
OneMeter = Annotated[Name | None, Field(description="Only of this meter.")]


class OfGateway(Parameters):
    """A list that is one page."""

    gateway: OneGateway = None


class Page(Parameters):
    """A list by pages."""

    gateway: OneGateway = None
    limit: Limit = 100
    cursor: Cursor = None


class MeterPage(Parameters):
    """… of one meter, if it is named. A token of a meter asks for that one alone."""

    gateway: OneGateway = None
    meter: OneMeter = None
    limit: Limit = 100
    cursor: Cursor = None


class EventPage(Parameters):
    """Events of [from, to), of one meter, if it is named."""

    gateway: OneGateway = None
    meter: OneMeter = None
    from_: Annotated[Instant, Field(alias="from")] = None
    to: Annotated[Instant, Field(description="… exclusive.")] = None
    limit: Limit = 100
    cursor: Cursor = None


class AlarmPage(Parameters):
    """Alarms. ``open``: active, unacknowledged or shelved; ``all``: those that are over, too."""

    gateway: OneGateway = None
    meter: OneMeter = None
    state: Annotated[Literal["open", "all"], Field(description="`all`: those that are over, too.")] = "open"
    limit: Limit = 100
    cursor: Cursor = None


class ReadingPage(Parameters):
    """Recorded readings of [from, to) in the order of commits; without ``meter`` those of all meters."""

    gateway: OneGateway = None
    meter: OneMeter = None
    points: Points = None
    from_: Annotated[Instant, Field(alias="from")] = None
    to: Annotated[Instant, Field(description="… exclusive.")] = None
    limit: LongLimit = 1000
    cursor: Cursor = None
    format: Annotated[
        Literal["json", "jsonl", "csv"], Field(description="`jsonl`, `csv`: the lines of `meterseal readings`.")
    ] = "json"


class SeriesPage(Parameters):
    """Summaries of one meter, of the minutes or hours that touch [from, to)."""

    gateway: OneGateway = None
    meter: Annotated[Name, Field(description="The meter.")]
    points: Points = None
    from_: Annotated[Instant, Field(alias="from")] = None
    to: Annotated[Instant, Field(description="… exclusive.")] = None
    by: Annotated[Literal["minute", "hour"], Field(description="How long each is.")] = "hour"
    limit: Limit = 100
    cursor: Cursor = None


class OfRecord(Parameters):
    """A record by its name."""

    gateway: Name
    meter: Annotated[Name, Field(description="The meter, or `gateway` for its own events.")]
    epoch: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    seq: Annotated[int, Field(ge=0, le=MOST_SEQ), Digits]


def read(model: type[P], path: Mapping[str, str], query: Sequence[tuple[str, str]]) -> P:
    """The parameters of a request. Raises Refusal: which is wrong, and how it should be."""
    found: dict[str, object] = dict(path)
    several: dict[str, list[str]] = {}
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for name, text in query:
        field = fields.get(name)
        if field is None or name in path:
            known = tuple(one for one in fields if one not in path)
            if not known:
                raise Refusal(Message("parameter-unknown-none", name=name[:40]))
            raise Refusal(Message("parameter-unknown", name=name[:40], known=known))
        if get_origin(field.annotation) is tuple:
            several.setdefault(name, []).append(text)
        elif name in found:
            raise Refusal(Message("parameter-twice", name=name))
        else:
            found[name] = text
    try:
        return model.model_validate(found | several)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "query"
        if first["type"] == "missing":
            raise Refusal(Message("parameter-missing", name=name)) from None
        raise Refusal(Message("parameter-invalid", name=name, why=first["msg"])) from None
