"""A running plant whose gateway has pages and the API, with one token of each kind, for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.api.asked import Asked, asked_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with asked_site(tmp_path_factory.mktemp("api")) as found:
        yield found
