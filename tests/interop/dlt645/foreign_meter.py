"""A meter by the dlt645 library: ``foreign_meter.py tcp | PATH ADDRESS``. Says where it listens, serves until killed.

It runs in an environment of its own (requirements.txt), and knows nothing of the project.
"""

from __future__ import annotations

import socket
import sys
import time

from dlt645 import MeterServerService  # type: ignore[import-not-found]

NUMBER = "000021043387"
VALUES = {
    0x00010000: 1234.56,
    0x00010100: 11.11,
    0x00010200: 22.22,
    0x00010300: 33.33,
    0x00010400: 1167.9,
    0x00020000: 7.08,
    0x02010100: 229.8,
    0x02010200: 230.1,
    0x02010300: 231.4,
    0x02020100: 4.999,
    0x02020200: 12.5,
    0x02020300: 0.001,
    0x02030000: 12.3456,
    0x02060000: 0.987,
    0x02800002: 49.98,
}


def main() -> None:
    where, address = sys.argv[1:]
    if where == "tcp":
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        meter = MeterServerService.new_tcp_server("127.0.0.1", port, 60.0)
    else:
        port = where
        meter = MeterServerService.new_rtu_server(where, 8, 1, 9600, "N", 60.0)
    meter.set_address(bytes.fromhex(address)[::-1])
    for di, value in VALUES.items():
        set_it = meter.set_00 if di >> 24 == 0 else meter.set_02
        if not set_it(di, value):
            print(f"not set: {di:08X}", file=sys.stderr)
    assert meter.set_04(0x04000402, NUMBER)
    assert meter.start(), "it does not start"
    print(port, flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
