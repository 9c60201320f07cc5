"""Dialects: how the meters of each type of bus are asked."""

from __future__ import annotations

from gateway.fieldbus.dlt645.dialect import OVER_DLT645
from gateway.fieldbus.modbus.dialect import OVER_ASCII, OVER_RTU, OVER_TCP
from gateway.fieldbus.wire.dialect import Dialect

DIALECTS: dict[str, Dialect] = {
    "modbus-rtu": OVER_RTU,
    "modbus-rtu-over-tcp": OVER_RTU,
    "modbus-tcp": OVER_TCP,
    "modbus-ascii": OVER_ASCII,
    "dlt645": OVER_DLT645,
}
