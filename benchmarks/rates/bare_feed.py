"""What a feed is compared with: pymodbus and paho, a loop a meter, every 100 ms; nothing is checked, signed, recorded.

``python -m benchmarks.rates.bare_feed URL REGISTERS PORT …`` prints ``ready`` and answers each line of two moments in
ms on its standard input with how many readings it made between them. Its messages have the form of the JSON feed.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import AsyncModbusTcpClient

BARE = "bare/meters"
PERIOD_S = 0.1


class Loop:
    """All meters, each again and again, and the moments of their readings in ms."""

    def __init__(self, url: str, registers: int) -> None:
        self.made: list[int] = []
        self.ended = False
        self._registers = registers
        address = urlsplit(url)
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.connect(address.hostname or "", address.port or 0)
        self._client.loop_start()

    async def meter(self, number: int, port: int) -> None:
        """One meter, until it is ended: a cancellation may be lost in asyncio.wait_for of Python 3.11."""
        client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=3, retries=0)
        await client.connect()
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self.ended:
            due += PERIOD_S
            await asyncio.sleep(due - loop.time())
            answer = await client.read_holding_registers(0, count=self._registers, device_id=1)
            floats = struct.unpack(f">{self._registers // 2}f", struct.pack(f">{self._registers}H", *answer.registers))
            self._publish(f"meter-{number:03}", floats)

    def _publish(self, meter: str, floats: Sequence[float]) -> None:
        now_ms = time.time_ns() // 1_000_000
        values = [{"name": f"voltage_{n:02}", "value": value, "unit": "V"} for n, value in enumerate(floats)]
        reading = {"time": now_ms, "record": f"{meter}/{now_ms}", "values": values}
        self._client.publish(f"{BARE}/{meter}", json.dumps({"v": 1, "readings": [reading]}), qos=1)
        self.made.append(now_ms)


async def main(url: str, registers: int, ports: Sequence[int]) -> None:
    """Until the standard input ends."""
    loop = Loop(url, registers)
    tasks = [asyncio.create_task(loop.meter(number, port)) for number, port in enumerate(ports)]
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        begin_ms, end_ms = map(int, line.split())
        print(json.dumps({"readings": sum(begin_ms <= made < end_ms for made in loop.made)}), flush=True)
    loop.ended = True
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), list(map(int, sys.argv[3:]))))
