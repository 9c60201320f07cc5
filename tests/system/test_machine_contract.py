"""The running code gives programs of others the names that were published (machine_contract.py says how to renew)."""

from __future__ import annotations

import pytest

from tests.system.machine_contract import contract, published

FOUND = contract()


@pytest.mark.parametrize("part", sorted(FOUND))
def test_names_for_machines_are_those_that_were_published(part: str) -> None:
    assert FOUND[part] == published()[part]


def test_the_list_is_not_empty_anywhere() -> None:
    assert [part for part, names in published().items() if not names] == []
