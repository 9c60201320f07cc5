"""What the gateway is compared with: pymodbus alone, a loop a connection, nothing checked but the number of registers.

``python -m benchmarks.rates.bare_tcp SECONDS REGISTERS PORT …`` prints reads a second and CPU microseconds a read.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence

from pymodbus.client import AsyncModbusTcpClient

WARM_UP_S = 1.0


async def measure(seconds: float, registers: int, ports: Sequence[int]) -> dict[str, float]:
    """Read over all connections at once, each again and again."""
    reads, ended = 0, False

    async def loop(client: AsyncModbusTcpClient) -> None:
        nonlocal reads
        while not ended:
            answer = await client.read_holding_registers(0, count=registers, device_id=1)
            assert len(answer.registers) == registers
            reads += 1

    clients = [AsyncModbusTcpClient("127.0.0.1", port=port, timeout=3, retries=0) for port in ports]
    await asyncio.gather(*(client.connect() for client in clients))
    tasks = [asyncio.create_task(loop(client)) for client in clients]
    await asyncio.sleep(min(WARM_UP_S, seconds))
    begun, cpu, before = time.monotonic(), time.process_time(), reads
    await asyncio.sleep(seconds)
    wall, cpu, done = time.monotonic() - begun, time.process_time() - cpu, reads - before
    ended = True
    await asyncio.gather(*tasks)
    for client in clients:
        client.close()
    return {"reads_per_s": done / wall, "cpu_us_per_read": cpu / done * 1e6}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(float(sys.argv[1]), int(sys.argv[2]), list(map(int, sys.argv[3:]))))))
