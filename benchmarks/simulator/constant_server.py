"""What the simulator is compared with: pymodbus's Modbus TCP server, with registers that never change.

``python -m benchmarks.simulator.constant_server UNITS REGISTERS`` prints its port; ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


async def serve(units: int, registers: int) -> None:
    """Units 1 to ``units``."""
    rows = [
        SimDevice(id=unit, simdata=[SimData(0, count=registers, values=0x1234, datatype=DataType.REGISTERS)])
        for unit in range(1, units + 1)
    ]
    server = ModbusTcpServer(rows, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    listening: Any = server.transport
    print(listening.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await ended.wait()
    await server.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
