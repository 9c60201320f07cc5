"""Hooks of schemathesis: what no description can say of a valid request, since it depends on the site."""

from __future__ import annotations

import json
import os
from typing import Any

import schemathesis  # type: ignore[import-not-found]

RECORD = json.loads(os.environ["METERSEAL_RECORD"])
"""Gateway, meter, epoch and number of a record that has a proof."""

VALID = {"from": "-1h", "to": "now", "period": "yesterday", "meter": RECORD["meter"]}


@schemathesis.hook  # type: ignore[untyped-decorator]
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Give a request that is to be valid a record and a meter that there are, times that calendars have, and no cursor,
    which only an answer has. One that is to be refused stays as it is."""
    if case.meta is not None and case.meta.generation.mode.is_negative:
        return
    query = case.query or {}
    query.pop("cursor", None)
    query.update({name: text for name, text in VALID.items() if name in query})
    if case.path_parameters and case.path_parameters.keys() >= RECORD.keys():
        case.path_parameters.update(RECORD)
