"""EVM node client (JSON-RPC): answers bounded and parsed strictly; no accounts. Network.

What a node says is evidence, never trusted to have a shape: whatever is not the answer to the question becomes
``LedgerUnavailable`` with the start of what came instead. What the node itself calls an error is ``NodeError``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from ledger_client.contracts import abi
from ledger_client.errors import LedgerUnavailable
from ledger_client.messages import Message, Sentence
from ledger_client.transport.access import Access
from ledger_client.transport.bounded_http import Answer, Client

MAX_ANSWER: Final = 2 * 1024 * 1024  # bytes: the code of a contract, the logs of a block; never an archive
_REVERTED: Final = 3  # error code of a call that the contract reverted; other nodes say it in words
_UINT256: Final = 2**256 - 1
_DEEPEST: Final = 32
_MARKS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)  # whole strings, and brackets


class NodeError(LedgerUnavailable):
    """The node understood and says no: ``code``, ``message`` and ``data`` of the JSON-RPC error."""

    def __init__(self, url: str, method: str, code: int, message: str, data: bytes) -> None:
        why: Sentence = message or Message("node-no-reason")
        super().__init__(Message("node-error", url=url, method=method, why=why, number=_digits(code)))
        self.code = code
        self.message = message
        self.data = data


class Reverted(Exception):
    """The contract refuses a call; its text is the reason that the contract gives."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block's place, and the Unix seconds that it bears. ``base_fee`` in wei; None: a chain from before EIP-1559."""

    number: int
    hash: bytes
    time: int
    base_fee: int | None


@dataclass(frozen=True, slots=True)
class Log:
    """One event: who wrote it, what, and where it stands."""

    address: bytes
    topics: list[bytes]
    data: bytes
    tx: bytes
    block: int
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class TxReceipt:
    """What a mined transaction did: ``ok`` is False when it was reverted."""

    tx: bytes
    ok: bool
    block: int
    block_hash: bytes
    gas_used: int
    contract: bytes | None
    logs: list[Log]


class Node:
    """The node at ``url`` (``http`` or ``https``); see ``bounded.Client`` for ``timeout_s``."""

    def __init__(self, url: str, access: Access | None = None, *, timeout_s: float = 10.0) -> None:
        self.url = url
        self._client = Client(url, Access() if access is None else access, timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def chain_id(self) -> int:
        """The chain that the node follows."""
        return self._number("eth_chainId")

    def code(self, address: bytes) -> bytes:
        """The code at an address; empty if there is none."""
        return self._bytes("eth_getCode", _hex(address), "latest")

    def nonce(self, account: bytes) -> int:
        """How many transactions of an account are in blocks: the nonce of its next one."""
        return self._number("eth_getTransactionCount", _hex(account), "latest")

    def call(self, to: bytes, data: bytes, sender: bytes | None = None) -> bytes:
        """What a contract answers now; raises ``Reverted`` with its reason."""
        question = {"to": _hex(to), "data": _hex(data)} | ({"from": _hex(sender)} if sender else {})
        try:
            return self._bytes("eth_call", question, "latest")
        except NodeError as error:
            if error.code == _REVERTED or "revert" in error.message.lower():
                raise Reverted(abi.reason(error.data) or error.message) from None
            raise

    def gas(self, sender: bytes, data: bytes, to: bytes | None) -> int:
        """How much gas a transaction (``to`` None: a deployment) would use now."""
        question = {"from": _hex(sender), "data": _hex(data)} | ({"to": _hex(to)} if to else {})
        return self._number("eth_estimateGas", question)

    def send(self, raw: bytes) -> bytes:
        """Hand over a signed transaction; its hash. Raises ``NodeError`` when the node does not want it."""
        return self._fixed("eth_sendRawTransaction", 32, _hex(raw))

    def knows(self, tx: bytes) -> bool:
        """True if the node has a transaction, in a block or waiting."""
        return self.ask("eth_getTransactionByHash", _hex(tx)) is not None

    def block(self, which: int | str | bytes) -> Block | None:
        """A block by number, by hash, or by tag (``latest``, ``finalized``); None if the node has none."""
        method = "eth_getBlockByHash" if isinstance(which, bytes) else "eth_getBlockByNumber"
        name = _hex(which) if isinstance(which, bytes) else hex(which) if isinstance(which, int) else which
        answer = self.ask(method, name, False)
        if answer is None:
            return None
        read = _Reader(self.url, method, answer)
        fee = read.number("baseFeePerGas") if read.has("baseFeePerGas") else None
        return Block(read.number("number"), read.fixed("hash", 32), read.number("timestamp"), fee)

    def receipt(self, tx: bytes) -> TxReceipt | None:
        """What a transaction did; None while it is in no block."""
        answer = self.ask("eth_getTransactionReceipt", _hex(tx))
        if answer is None:
            return None
        read = _Reader(self.url, "eth_getTransactionReceipt", answer)
        if not read.has("blockHash"):  # some nodes answer for a transaction that still waits
            return None
        return TxReceipt(
            tx=read.fixed("transactionHash", 32),
            ok=read.number("status") == 1,
            block=read.number("blockNumber"),
            block_hash=read.fixed("blockHash", 32),
            gas_used=read.number("gasUsed"),
            contract=read.fixed("contractAddress", 20) if read.has("contractAddress") else None,
            logs=self._logs("eth_getTransactionReceipt", read.get("logs")),
        )

    def logs(self, contract: bytes, block: int, topics: list[bytes | None], *, last: int | None = None) -> list[Log]:
        """The events of a contract in one block, or in all as far as ``last``, that have these topics; None: any."""
        asked = {
            "address": _hex(contract),
            "fromBlock": hex(block),
            "toBlock": hex(block if last is None else last),
            "topics": [None if topic is None else _hex(topic) for topic in topics],
        }
        return self._logs("eth_getLogs", self.ask("eth_getLogs", asked))

    def gas_price(self) -> int:
        """What the node thinks a unit of gas costs, in wei."""
        return self._number("eth_gasPrice")

    def priority_fee(self) -> int:
        """What the node thinks a block's maker wants on top of the base fee, in wei."""
        return self._number("eth_maxPriorityFeePerGas")

    def ask(self, method: str, *parameters: object) -> Any:
        """The ``result`` of one JSON-RPC call; raises ``NodeError`` or ``LedgerUnavailable``."""
        question = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        answer = self._client.ask("POST", self.url, headers, MAX_ANSWER, question)
        try:
            message = json.loads(answer.body) if _is_shallow(answer.body) else None
        except ValueError:
            raise self._odd(answer, method) from None
        if not isinstance(message, dict):
            raise self._odd(answer, method)
        if isinstance(error := message.get("error"), dict):
            raise self._no(method, error)
        if answer.status != 200 or message.get("id") != 1 or "result" not in message:
            raise self._odd(answer, method)
        return message["result"]

    def _odd(self, answer: Answer, method: str) -> LedgerUnavailable:
        sentence = Message("node-no-answer", method=method, answer=answer.sentence)
        if answer.status == 401:
            sentence = Message("http-login-refused", detail=sentence)
        return LedgerUnavailable(sentence, answer.retry_after_s())

    def _no(self, method: str, error: dict[str, Any]) -> NodeError:
        code, message, data = error.get("code"), error.get("message"), error.get("data")
        if isinstance(data, dict):  # as some nodes wrap it
            data = data.get("data")
        try:
            raw = bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""
        except ValueError:
            raw = b""
        sentence = message if isinstance(message, str) else ""
        return NodeError(self.url, method, code if isinstance(code, int) else 0, sentence[:500], raw)

    def _number(self, method: str, *parameters: object) -> int:
        return _Reader(self.url, method, {"result": self.ask(method, *parameters)}).number("result")

    def _bytes(self, method: str, *parameters: object) -> bytes:
        return _Reader(self.url, method, {"result": self.ask(method, *parameters)}).data("result")

    def _fixed(self, method: str, size: int, *parameters: object) -> bytes:
        return _Reader(self.url, method, {"result": self.ask(method, *parameters)}).fixed("result", size)

    def _logs(self, method: str, value: object) -> list[Log]:
        if not isinstance(value, list):
            raise LedgerUnavailable(Message("node-no-events", url=self.url, method=method, value=_shown(value)))
        return [self._log(method, one) for one in value]

    def _log(self, method: str, value: object) -> Log:
        read = _Reader(self.url, method, value)
        topics = read.get("topics")
        if not isinstance(topics, list):
            raise read.bad("topics")
        return Log(
            address=read.fixed("address", 20),
            topics=[_Reader(self.url, method, {"topic": topic}).fixed("topic", 32) for topic in topics],
            data=read.data("data"),
            tx=read.fixed("transactionHash", 32),
            block=read.number("blockNumber"),
            block_hash=read.fixed("blockHash", 32),
        )


class _Reader:
    """Takes an answer apart; anything that is not of the form asked for is ``LedgerUnavailable``."""

    def __init__(self, url: str, method: str, value: object) -> None:
        self._url, self._method = url, method
        if not isinstance(value, dict):
            raise LedgerUnavailable(Message("node-no-object", url=url, method=method, value=_shown(value)))
        self._fields: dict[str, object] = value

    def has(self, key: str) -> bool:
        return self._fields.get(key) is not None

    def get(self, key: str) -> object:
        return self._fields.get(key)

    def number(self, key: str) -> int:
        """A quantity: 0x and hexadecimal digits."""
        value = self._fields.get(key)
        try:
            if isinstance(value, str) and value.startswith("0x") and 0 <= (number := int(value[2:], 16)) <= _UINT256:
                return number
        except ValueError:
            pass
        raise self.bad(key)

    def data(self, key: str) -> bytes:
        """Data: 0x and an even number of hexadecimal digits."""
        value = self._fields.get(key)
        try:
            if isinstance(value, str) and value.startswith("0x"):
                return bytes.fromhex(value[2:])
        except ValueError:
            pass
        raise self.bad(key)

    def fixed(self, key: str, size: int) -> bytes:
        value = self.data(key)
        if len(value) != size:
            raise self.bad(key)
        return value

    def bad(self, key: str) -> LedgerUnavailable:
        value = _shown(self._fields.get(key))
        return LedgerUnavailable(Message("node-bad-value", url=self._url, method=self._method, key=key, value=value))


def _shown(value: object) -> str:
    """The start of what came instead of an answer."""
    return str(value)[:200]


def _digits(number: int) -> str:
    """The digits of what may have more than 64 bits."""
    return str(number)


def _is_shallow(body: bytes) -> bool:
    """True unless the JSON is nested deeper than any answer: a parser may die of that, where its stack is small."""
    depth = 0
    for mark in _MARKS.finditer(body):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(chr(body[mark.start()]), 0)
        if depth > _DEEPEST:
            return False
    return True


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
