"""The collector of garbage looks seldom within, and is as before behind, whatever happens there."""

from __future__ import annotations

import gc

import pytest

from ledger_client.collector import NEW_OBJECTS, seldom


def _fail(seen: list[tuple[int, int]]) -> None:
    with seldom():
        seen.append((gc.get_threshold()[0], gc.get_freeze_count()))
        raise ValueError("within")


def test_it_is_as_before_behind_an_error() -> None:
    usual, seen = gc.get_threshold(), list[tuple[int, int]]()
    with pytest.raises(ValueError, match="within"):
        _fail(seen)
    ((threshold, frozen),) = seen
    assert threshold == NEW_OBJECTS
    assert frozen > 0
    assert (gc.get_threshold(), gc.get_freeze_count()) == (usual, 0)
