"""The table of the control room API's routes: the shared ones of the gateway's, and `/holes` and `/refused`."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from starlette.responses import Response

from control_room.web import gateways, lists, models, readings, records
from control_room.web.route import ApiRoute, Call, Rest, of_known
from gateway.api.shapes.models import Listed
from gateway.api.shapes.parameters import AlarmPage, MeterPage, OfRecord, Page, Parameters, ReadingPage
from gateway.api.shapes.route import JSON

V1: Final = "/api/v1"
_RECORD: Final = f"{V1}/records/{{gateway}}/{{meter}}/{{epoch}}/{{seq}}"
_ABOUT: Final = (
    "Readings, states and proofs of many Meterseal gateways, read only, as a control room verified them when they came "
    "in. What is not known has no key; times are RFC 3339; numbers have the decimals that were recorded. Errors are "
    "RFC 9457 documents with a code. Tokens: `meterseal-control token add CONTROL NAME --scope status|readings|proofs`."
)


@cache
def description() -> bytes:
    """The description of this table. Made once: anybody may ask for it."""
    from gateway.api.shapes.openapi import document

    return document(ROUTES, _ABOUT)


def _description(call: Call[Parameters]) -> Rest:
    return lambda db: Response(description(), media_type=JSON)


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
        summary="The gateways of the trust file and of the database by name, and how they stand",
        scope="status",
        parameters=Page,
        answer=Listed[models.Gateway],
        look=of_known(gateways.gateways),
    ),
    ApiRoute(
        path=f"{V1}/meters",
        summary="The meters of which something came in",
        scope="status",
        parameters=MeterPage,
        answer=Listed[models.Meter],
        look=of_known(gateways.meters),
    ),
    ApiRoute(
        path=f"{V1}/latest",
        summary="Each meter's newest reading, as recorded",
        scope="readings",
        parameters=MeterPage,
        answer=Listed[models.Reading],
        look=of_known(gateways.latest),
    ),
    ApiRoute(
        path=f"{V1}/readings",
        summary="Recorded readings of any time, meter by meter in the order of time; lines need `gateway`",
        scope="readings",
        parameters=ReadingPage,
        answer=models.Readings,
        stream=readings.readings,
        media=readings.LISTS,
    ),
    ApiRoute(
        path=f"{V1}/batches",
        summary="Batches with their receipts; of each gateway the newest first",
        scope="status",
        parameters=Page,
        answer=Listed[models.Batch],
        look=of_known(lists.batches),
    ),
    ApiRoute(
        path=f"{V1}/alarms",
        summary="Alarms of the gateways and of the control room, newest first",
        scope="status",
        parameters=AlarmPage,
        answer=Listed[models.Alarm],
        look=of_known(lists.alarms),
    ),
    ApiRoute(
        path=f"{V1}/holes",
        summary="What the gateways' statements count and what is not there, newest first",
        scope="status",
        parameters=Page,
        answer=Listed[models.Hole],
        look=of_known(lists.holes),
    ),
    ApiRoute(
        path=f"{V1}/refused",
        summary="Messages that were not believed, newest first",
        scope="status",
        parameters=Page,
        answer=Listed[models.Refused],
        look=of_known(lists.refused),
    ),
    ApiRoute(
        path=f"{_RECORD}.mseal",
        summary="The proof of one record, as `meterseal-ledger verify` takes it",
        scope="proofs",
        parameters=OfRecord,
        look=of_known(records.bundle),
        media={records.MSEAL: {"type": "string", "format": "binary"}},
        refuses=(409, 410),
    ),
    ApiRoute(
        path=_RECORD,
        summary="One record, and where it stands",
        scope="proofs",
        parameters=OfRecord,
        answer=models.Record,
        look=of_known(records.one),
        refuses=(409, 410),
    ),
)
"""In the order in which paths are compared."""
