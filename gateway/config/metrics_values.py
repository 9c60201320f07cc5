"""Points whose values are Prometheus metrics: those of the dimensions that ``[web] metrics_values`` names.

A point has a series where its name is one of the vocabulary: it has a meaning there, a dimension, and so a base unit.
The values of a reversed meter are turned, as on the pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.config.feed_points import recorded_points
from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.key_errors import closest
from gateway.messages.message import Message

if TYPE_CHECKING:  # 20 ms: it reads the vocabulary, which most gateways need not
    from gateway.devices.knowledge.direction import Turned

MOST = 2000
"""Series of values that a gateway has, at most."""


@dataclass(frozen=True, slots=True)
class ValueSeries:
    """A series: of which meter and recorded point, the name of its metric, what its values are multiplied by, and its
    labels ``quantity``, the point's name as it is shown, and ``phase``, such as ``L1``; "": of all, or none."""

    meter: str
    point: str
    metric: str
    dimension: str
    factor: float
    turned: Turned
    phase: str

    @property
    def is_counter(self) -> bool:
        """Whether it only grows."""
        return self.metric.endswith("_total")


def value_series(config: Config) -> Iterator[ValueSeries]:
    """All series of values that a site has."""
    wanted = config.document.web.metrics_values if config.document.web is not None else ()
    if not wanted:
        return
    from gateway.devices.knowledge.base_units import metric_unit
    from gateway.devices.knowledge.direction import Turned
    from gateway.devices.knowledge.quantities import QUANTITIES
    from gateway.devices.turned_values import turned_point

    for name, meter in config.meters.items():
        for point in recorded_points(meter, config.profiles[name]):
            turned = turned_point(point) if meter.reversed else Turned(point.name)
            quantity = QUANTITIES.get(turned.name)
            if quantity is None or quantity.dimension not in wanted or point.kind not in ("gauge", "counter"):
                continue
            base = metric_unit(quantity.dimension, point.unit or "/")
            if base is None:
                continue
            metric = f"meterseal_{base.metric}{'_total' if point.kind == 'counter' else ''}"
            phase = f"L{quantity.phase}" if quantity.phase else ""
            yield ValueSeries(name, point.name, metric, quantity.dimension, base.factor, turned, phase)


def check_metrics_values(config: Config) -> None:
    """Every dimension is one of the vocabulary, and the site has not too many series. Raises ConfigError."""
    web = config.document.web
    if web is None or not web.metrics_values:
        return
    from gateway.devices.knowledge.quantities import UNITS

    for name in web.metrics_values:
        if name not in UNITS:
            meant = closest(name, UNITS)
            known = (meant,) if meant is not None else tuple(UNITS)
            raise _refusal(config, Message("web-values-dimension", name=name, known=known))
    if (count := sum(1 for _ in value_series(config))) > MOST:
        raise _refusal(config, Message("web-values-many", count=count, limit=MOST))


def _refusal(config: Config, sentence: Message) -> ConfigError:
    return ConfigError(config.path, "web, metrics_values", sentence)
