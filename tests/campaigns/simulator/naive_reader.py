"""Thirty lines that read meters as many scripts do: voltages, then powers, as pymodbus gives them; what fails is left
out. ``python -m tests.campaigns.simulator.naive_reader PORT SECONDS EVERY FILE METER=UNIT…``"""

import csv
import struct
import sys
import time

from pymodbus.client import ModbusSerialClient
from pymodbus.exceptions import ModbusException

BLOCKS = {0: "voltage_ln", 12: "active_power"}
port, seconds, every, path, *units = sys.argv[1:]
client = ModbusSerialClient(port, baudrate=19200, timeout=0.3, retries=1)
client.connect()
end = time.time() + float(seconds)
with open(path, "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(("time", "meter", "point", "value"))
    while (begun := time.time()) < end:
        for meter, unit in (word.split("=") for word in units):
            for address, block in BLOCKS.items():
                try:
                    answer = client.read_input_registers(address, count=6, device_id=int(unit))
                except ModbusException:
                    continue
                if not answer.isError() and len(answer.registers) == 6:
                    phases = struct.unpack(">3f", struct.pack(">6H", *answer.registers))
                    table.writerows((time.time(), meter, f"{block}_l{n}", value) for n, value in enumerate(phases, 1))
        time.sleep(max(0, begun + float(every) - time.time()))
