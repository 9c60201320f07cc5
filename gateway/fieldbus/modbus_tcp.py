"""Modbus TCP through pymodbus, with the checks that it does not make and the guard for converters.

pymodbus gives the connection, the framing and transaction ids. It takes an answer of another function, of another
number of registers, or with transaction id 0; here each whole frame is compared with its question. Between a Modbus TCP
head and a serial tail sits a converter that can hand on an old serial answer under the newest transaction id; so a line
that is not ``direct`` keeps the rule of shapes as well (docs/fieldbus.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException, ModbusIOException
from pymodbus.pdu import ModbusPDU

from gateway.fieldbus.errors import LineDown
from gateway.fieldbus.frames import (
    BITS,
    DEVICE_IDENTIFICATION,
    EXCEPTION,
    GATEWAY_SILENT,
    REGISTERS,
    Request,
    Shape,
    permit,
)
from gateway.fieldbus.link import Answer, Manners, Outcome, Refusal, Seen, Silence, Witness
from gateway.fieldbus.shapes import ShapeTable

CONNECT_S = 3.0
RECONNECT_PAUSE_S = 0.2
"""Between closing and opening again: devices with one slot need a moment to notice."""
HEAD = 7
REMEMBERED = 32
"""Transactions of which the time is kept, to learn how late their answers come."""

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # its findings come back as outcomes


class _Answer(ModbusPDU):
    """An answer that pymodbus leaves in its bytes: they are judged and decoded here, whole."""

    def __str__(self) -> str:
        return f"answer to function {self.function_code}"


_ANSWERS = tuple(type(f"_Answer{f}", (_Answer,), {"function_code": f}) for f in (*BITS, *REGISTERS))


class TcpLink:
    """A connection to one endpoint, renewed by itself after time-outs. See ``link.Link``.

    ``generation`` counts the connections: behind a new one may stand another device.
    """

    def __init__(self, host: str, tcp_port: int, table: ShapeTable, witness: Witness, delay_s: float = 0.0) -> None:
        self._host, self._tcp_port, self._delay_s = host, tcp_port, delay_s
        self._table, self._witness = table, witness
        self._loop = asyncio.get_running_loop()
        self.voided: set[int] = set()
        self.generation = 0
        self._client: AsyncModbusTcpClient | None = None
        self._stale = False
        self._timeouts = 0
        self._ready: dict[int, float] = {}
        self._tid = -1
        self._request: Request | None = None
        self._asked: dict[int, tuple[Request, float]] = {}
        self._raw: bytes | None = None
        self._copies = 0
        self._seen = ""
        self._closed = False

    async def connect(self) -> None:
        """Open the connection; LineDown, with the reason, when there is none to be had."""
        client = AsyncModbusTcpClient(
            self._host,
            port=self._tcp_port,
            timeout=CONNECT_S,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._packet,
            trace_connect=self._connection,
        )
        for answer in _ANSWERS:
            client.register(answer)
        try:
            async with asyncio.timeout(CONNECT_S):
                await client.ctx.call_create()
        except TimeoutError:
            client.close()
            raise LineDown(f"{self._host}:{self._tcp_port} does not answer the connection") from None
        except OSError as error:
            client.close()
            raise LineDown(f"{self._host}:{self._tcp_port}: {error.strerror or error}") from None
        except BaseException:
            client.close()
            raise
        client.set_max_no_responses(1 << 30)  # when to reconnect is decided here
        self._client, self._stale, self._timeouts = client, False, 0
        self._asked.clear()
        self.generation += 1
        await asyncio.sleep(self._delay_s)

    async def read(self, requests: Sequence[Request], manners: Manners) -> Outcome:
        """Ask one of the requests and wait for its answer; LineDown when the connection is gone."""
        unit = requests[0].unit
        if self._stale or not (self._client and self._client.connected):
            await self._renew()
        if (wait := self._ready.get(unit, 0.0) - self._loop.time()) > 0:
            await asyncio.sleep(wait)
        request = requests[0] if manners.direct else self._table.choose(requests, self._loop.time())
        if request is None:
            life = self._table.life(unit)
            return Silence("no-shape", f"each shape of this read is another master's or younger than {life:g} s")
        self._table.use(request.shape, self._loop.time())
        outcome = await self._exchange(request, manners)
        now = self._loop.time()
        if isinstance(outcome, Silence):
            self._table.silent(request.shape, now)
            self._timeouts += 1
            self._stale = self._stale or self._timeouts >= 2
        else:
            self._table.use(request.shape, now)
            self._timeouts = 0
        self._ready[unit] = now + manners.pause_s
        return outcome

    async def quiet(self) -> None:
        """Nothing to wait for: a second answer bears a transaction id that has been served."""

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        self._drop()

    async def _renew(self) -> None:
        if self._closed:
            raise LineDown("closed")
        self._drop()
        await asyncio.sleep(RECONNECT_PAUSE_S)
        await self.connect()

    def _drop(self) -> None:
        if self._client:
            client, self._client = self._client, None
            client.close()

    async def _exchange(self, request: Request, manners: Manners) -> Outcome:
        """One request, and the judgement on what came back. pymodbus keeps the time; no read is cut off outside it."""
        permit(request.pdu)
        client = self._client
        assert client is not None
        client.ctx.comm_params.timeout_connect = manners.timeout_s
        self._raw, self._copies, self._seen, self._tid = None, 0, "", -1
        self._request = request
        try:
            await _read(client, request)
        except ConnectionException:
            self._table.silent(request.shape, self._loop.time())
            raise LineDown(f"{self._host}:{self._tcp_port} closed the connection") from None
        except ModbusIOException:
            partial = bool(client.ctx.recv_buffer)
            self._stale = self._stale or partial
            detail = "an answer broke off" if partial and not self._seen else self._seen or "no answer"
            return Silence("timeout", detail, request)
        except ModbusException as error:
            self._stale = True
            return Silence("timeout", str(error), request)
        except BaseException:  # cancelled in mid-frame: what comes now belongs to nobody
            self._table.silent(request.shape, self._loop.time())
            self._stale = True
            raise
        return self._judge(request, manners)

    def _judge(self, request: Request, manners: Manners) -> Outcome:
        """The frame that pymodbus took, compared with the question in all that a frame can tell."""
        raw, now = self._raw, self._loop.time()
        if raw is None:
            return Silence("timeout", "an answer without our transaction id", request)
        unit, function = raw[6], raw[7]
        fixed = function in BITS or function in REGISTERS
        data = raw[9:] if fixed else raw[8:]
        if unit != request.unit:
            return Silence("timeout", f"an answer of unit {unit}", request)
        if function == request.function | EXCEPTION:
            if raw[8] in GATEWAY_SILENT and not manners.direct:
                return Silence("timeout", f"exception {raw[8]:02X}: the gateway got no answer", request)
            return Refusal(request, raw[8], self._table.burnt(unit, now))
        shape = Shape(unit, function, raw[8] if fixed else -1)
        if self._copies > 1 and not manners.direct:
            self._witness(Seen("doubled", raw, shape))
            return Silence("timeout", "two answers came to one question", request)
        if shape == request.shape:
            return Answer(request, data, now)
        if not manners.direct:
            kind = "late" if self._table.young(shape, now) else "foreign"
            self._table.use(shape, now)
            self._witness(Seen(kind, raw, shape))
        self._stale = True
        return Silence("timeout", f"an answer of function {function} with {raw[8]} bytes to {request.shape}", request)

    def _packet(self, sending: bool, data: bytes) -> bytes:
        """pymodbus shows every packet here before it leaves, and all that is unread before it is parsed."""
        if sending:
            permit(data[HEAD:])
            self._tid = int.from_bytes(data[:2], "big")
            if self._request is not None:
                self._asked[self._tid] = self._request, self._loop.time()
                self._asked.pop(self._tid - REMEMBERED, None)
            return data
        rest = data
        while len(rest) >= HEAD + 1:
            length = 6 + int.from_bytes(rest[4:6], "big")
            if rest[2:4] != b"\0\0" or not HEAD + 1 < length <= 260:
                return self._garbled("bytes that are no Modbus TCP")
            if len(rest) < length:
                break
            frame, rest = rest[:length], rest[length:]
            if int.from_bytes(frame[:2], "big") == self._tid:
                if not _whole(frame):
                    return self._garbled("an answer whose byte count does not fit its length")
                self._raw, self._copies = self._raw or frame, self._copies + 1
            else:
                self._note_late(frame)
        return data

    def _note_late(self, frame: bytes) -> None:
        self._seen = "only the answer to another transaction"
        if asked := self._asked.get(int.from_bytes(frame[:2], "big")):
            self._witness(Seen("late", frame, asked[0].shape, self._loop.time() - asked[1]))
        else:
            self._witness(Seen("late", frame))

    def _garbled(self, what: str) -> bytes:
        """Bytes that pymodbus would stumble over: end the read, and the connection after it."""
        self._seen, self._stale = what, True
        self._fail(ModbusIOException(what))
        return b""

    def _connection(self, connected: bool) -> None:
        if not connected:
            self._fail(ConnectionException("connection lost"))

    def _fail(self, error: ModbusException) -> None:
        future = self._client.ctx.response_future if self._client else None
        if future is not None and not future.done() and self._tid >= 0:
            future.set_exception(error)


async def _read(client: AsyncModbusTcpClient, request: Request) -> None:
    if request.function == DEVICE_IDENTIFICATION:
        code, number = request.count, request.address
        await client.read_device_information(read_code=code, object_id=number, device_id=request.unit)
        return
    read = {
        1: client.read_coils,
        2: client.read_discrete_inputs,
        3: client.read_holding_registers,
        4: client.read_input_registers,
    }[request.function]
    await read(request.address, count=request.count, device_id=request.unit)


def _whole(frame: bytes) -> bool:
    """The parts of an answer agree with its length."""
    function = frame[7]
    if function & EXCEPTION:
        return len(frame) == HEAD + 2
    if function in BITS or function in REGISTERS:
        return len(frame) == HEAD + 2 + frame[8]
    return len(frame) > HEAD + 1
