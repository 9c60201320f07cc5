"""pysunspec2 as the reader of a SunSpec device over Modbus TCP: run with the Python of its own environment.

``python foreign_client.py HOST PORT UNIT`` prints each model of the device with its points by their offset from the
model's ID register: ``{"103": {"14": 5120.0, …}}``, scaled, null for what is not implemented.
"""

from __future__ import annotations

import json
import sys

from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP  # type: ignore[import-not-found]


def main(host: str, port: int, unit: int) -> None:
    device = SunSpecModbusClientDeviceTCP(slave_id=unit, ipaddr=host, ipport=port, timeout=5)
    device.scan()
    found = {}
    for number in (number for number in device.models if isinstance(number, int)):
        points = device.models[number][0].points
        found[number] = {point.offset: point.cvalue for point in points.values()}
    device.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
