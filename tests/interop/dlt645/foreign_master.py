"""A master by the dlt645 library: ``foreign_master.py HOST:PORT | PATH ADDRESS DI…`` prints one JSON object by DI.

``13`` in place of a DI reads the address.
"""

from __future__ import annotations

import json
import sys

from dlt645 import MeterClientService  # type: ignore[import-not-found]


def main() -> None:
    where, address, *identifiers = sys.argv[1:]
    host, _, port = where.rpartition(":")
    if host:
        master = MeterClientService.new_tcp_client(host, int(port), 5.0)
    else:
        master = MeterClientService.new_rtu_client(where, 9600, 8, 1, "N", 5.0)
    assert master.connect(), "no connection"
    master.set_address(bytes.fromhex(address)[::-1].hex())  # it wants them as on the wire
    read = {"00": master.read_00, "01": master.read_01, "02": master.read_02, "04": master.read_04}
    found = {}
    for di in identifiers:
        item = master.read_address() if di == "13" else read[di[:2]](int(di, 16))
        found[di] = None if item is None else str(item.value)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
