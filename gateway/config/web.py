"""Configuration of ``[web]`` in gateway.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway import web_settings


class Web(web_settings.Web):
    """``metrics_values``: dimensions whose newest values are metrics, too."""

    metrics_values: Annotated[tuple[str, ...], Field(strict=False)] = ()
