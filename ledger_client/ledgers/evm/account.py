"""EVM account: an encrypted key file, and transactions signed by it.

Needs the extra ``meterseal[evm]`` (eth-account, coincurve).
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger_client.errors import KeyFileError
from ledger_client.messages import Message
from ledger_client.system_errors import os_error

_LIMIT = sys.getrecursionlimit()
from eth_account import Account as EthAccount  # noqa: E402

sys.setrecursionlimit(_LIMIT)  # a library below raises it so far that deeply nested JSON would kill the process

_LIGHT, _HEAVY = 2**12, 2**18  # scrypt's N, as geth has them
_MAX_FILE: Final = 65536  # bytes


@dataclass(frozen=True, slots=True)
class Fees:
    """What a unit of gas may cost, in wei: at most ``max_fee``; ``priority`` of it on top of the base fee (EIP-1559).
    ``priority`` None: one price, for a chain from before that."""

    max_fee: int
    priority: int | None


@dataclass(frozen=True, slots=True)
class Transaction:
    """A call of a contract (``to`` None: its creation), to be signed."""

    chain_id: int
    nonce: int
    to: bytes | None
    data: bytes
    gas_limit: int
    fees: Fees


class Account:
    """A private key and the address that it speaks for."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.address = bytes.fromhex(EthAccount.from_key(key).address[2:])

    def __str__(self) -> str:
        return "0x" + self.address.hex()

    def sign(self, transaction: Transaction) -> tuple[bytes, bytes]:
        """(the bytes to broadcast, the hash that the chain will know them by): the same for the same transaction."""
        fields: dict[str, Any] = {
            "chainId": transaction.chain_id,
            "nonce": transaction.nonce,
            "value": 0,
            "data": transaction.data,
            "gas": transaction.gas_limit,
        }
        if transaction.to is not None:
            fields["to"] = transaction.to
        fees = transaction.fees
        if fees.priority is None:
            fields["gasPrice"] = fees.max_fee
        else:
            fields |= {"type": 2, "maxFeePerGas": fees.max_fee, "maxPriorityFeePerGas": fees.priority}
        signed = EthAccount.sign_transaction(fields, self._key)
        return bytes(signed.raw_transaction), bytes(signed.hash)


def load_account(path: str | Path, password: str) -> Account:
    """Open an encrypted key file (Web3 Secret Storage, version 3); ``KeyFileError`` with the way out."""
    text = _read(Path(path))
    try:
        document = json.loads(text)
        return Account(bytes(EthAccount.decrypt(document, password)))
    except (ValueError, KeyError, TypeError, NotImplementedError, RecursionError) as error:
        if "MAC mismatch" in str(error):
            raise KeyFileError(str(path), Message("account-password-wrong")) from None
        kind = type(error).__name__
        raise KeyFileError(str(path), Message("account-not-keystore", error=kind)) from None


def make_account(path: str | Path, password: str, *, light: bool = False) -> Account:
    """Write the encrypted key file of a new account, mode 0600, never over another file.

    Opening it takes 256 MiB and a second, so that a password is not guessed; ``light``: 4 MiB and no time, for a small
    machine whose password is a long random one.
    """
    path = Path(path)
    created = EthAccount.create()
    text = json.dumps(EthAccount.encrypt(created.key, password, kdf="scrypt", iterations=_LIGHT if light else _HEAVY))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(descriptor)
    except FileExistsError:
        raise KeyFileError(str(path), Message("account-exists")) from None
    except OSError as error:
        raise KeyFileError(str(path), Message("key-file-not-writable", error=os_error(error))) from None
    return Account(bytes(created.key))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE).decode()
    except FileNotFoundError:
        raise KeyFileError(str(path), Message("account-file-missing")) from None
    except OSError as error:
        raise KeyFileError(str(path), Message("account-not-readable", error=os_error(error))) from None
    except UnicodeDecodeError:
        raise KeyFileError(str(path), Message("account-not-text")) from None
