"""The table of the HTTP API's routes, of which Starlette's routes (``serving``) and the description (``openapi``) are
made.

A new route is a row here: its path, scope, models of its parameters and its answer, and its function.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from starlette.responses import Response

from gateway.api import lists, meters, readings, records, totals
from gateway.api.route import ApiRoute, Call, Rest
from gateway.api.shapes import models
from gateway.api.shapes.models import Listed
from gateway.api.shapes.parameters import (
    AlarmPage,
    EventPage,
    MeterPage,
    OfGateway,
    OfRecord,
    Page,
    Parameters,
    ReadingPage,
    SeriesPage,
)
from gateway.api.shapes.route import JSON

V1: Final = "/api/v1"
_ABOUT: Final = (
    "Readings, states and proofs of a Meterseal gateway, read only. Every item names its gateway; what is not known "
    "has no key; times are RFC 3339; numbers have the decimals that were recorded. Errors are RFC 9457 documents with "
    "a code. Tokens: `meterseal token add CONFIG NAME --scope status|readings|proofs`."
)
_RECORD: Final = f"{V1}/records/{{gateway}}/{{meter}}/{{epoch}}/{{seq}}"


@cache
def description() -> bytes:
    """The description of this table. Made once: anybody may ask for it."""
    from gateway.api.shapes.openapi import document

    return document(ROUTES, _ABOUT)


def _description(call: Call[Parameters]) -> Rest:
    return lambda store: Response(description(), media_type=JSON)


ROUTES: Final[tuple[ApiRoute[Any], ...]] = (
    ApiRoute(
        path=f"{V1}/openapi.json",
        summary="This description",
        scope=None,
        parameters=Parameters,
        look=_description,
        media={JSON: {"type": "object"}},
    ),
    ApiRoute(
        path=f"{V1}/gateways",
        summary="The gateways, and how they stand",
        scope="status",
        parameters=OfGateway,
        answer=Listed[models.Gateway],
        look=meters.gateways,
    ),
    ApiRoute(
        path=f"{V1}/meters",
        summary="The meters that are configured, by name",
        scope="status",
        parameters=MeterPage,
        answer=Listed[models.Meter],
        look=meters.meters,
    ),
    ApiRoute(
        path=f"{V1}/latest",
        summary="The newest reading of each meter, by its name",
        scope="readings",
        parameters=MeterPage,
        answer=Listed[models.Reading],
        look=meters.latest,
    ),
    ApiRoute(
        path=f"{V1}/readings",
        summary="Recorded readings of any time, in the order of commits; `Link` has the next page",
        scope="readings",
        parameters=ReadingPage,
        answer=models.Readings,
        stream=readings.readings,
        media=readings.LISTS,
        refuses=(410,),
    ),
    ApiRoute(
        path=f"{V1}/series",
        summary="Summaries of a meter by minute or hour, in the order of time",
        scope="readings",
        parameters=SeriesPage,
        answer=Listed[models.Step],
        look=readings.series,
        refuses=(410,),
    ),
    ApiRoute(
        path=f"{V1}/batches",
        summary="Sealed batches with their receipts, newest first",
        scope="status",
        parameters=Page,
        answer=Listed[models.Batch],
        look=lists.batches,
    ),
    ApiRoute(
        path=f"{V1}/alarms",
        summary="Alarms, newest first",
        scope="status",
        parameters=AlarmPage,
        answer=Listed[models.Alarm],
        look=lists.alarms,
    ),
    ApiRoute(
        path=f"{V1}/events",
        summary="Signed events, newest first",
        scope="status",
        parameters=EventPage,
        answer=Listed[models.Event],
        look=lists.events,
    ),
    ApiRoute(
        path=f"{V1}/totals",
        summary="Power of the site now and its energy in a period, by generation, consumption, grid and storage",
        scope="readings",
        parameters=totals.OfTotals,
        answer=totals.SiteTotals,
        look=totals.totals,
    ),
    ApiRoute(
        path=f"{V1}/plans/{{plan}}/nodes/{{node}}/hours",
        summary="Hours of a node of a plan, oldest first: of statements, and behind them of what is recorded",
        scope="readings",
        parameters=totals.OfHours,
        answer=Listed[totals.NodeHour],
        look=totals.hours,
        refuses=(410,),
    ),
    ApiRoute(
        path=f"{_RECORD}.mseal",
        summary="The proof of one record, as `meterseal-ledger verify` takes it",
        scope="proofs",
        parameters=OfRecord,
        look=records.bundle,
        media={records.MSEAL: {"type": "string", "format": "binary"}},
        refuses=(409, 410),
    ),
    ApiRoute(
        path=_RECORD,
        summary="One record, and where it stands",
        scope="proofs",
        parameters=OfRecord,
        answer=models.Record,
        look=records.record,
        refuses=(410,),
    ),
)
"""In the order in which paths are compared."""
