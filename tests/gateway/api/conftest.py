"""A running plant whose gateway has pages and the API, with one token of each kind, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.api.asked import Asked, asked_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with asked_site(tmp_path_factory.mktemp("api")) as found:
        yield found
