"""The account's key file, and what it signs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from eth_account import Account as EthAccount

from ledger_client.errors import KeyFileError
from ledger_client.ledgers.evm.account import Account, Fees, Transaction, load_account, make_account

KEY = bytes.fromhex("4646464646464646464646464646464646464646464646464646464646464646")  # of EIP-155's example


def test_a_new_account_can_be_opened_again_with_its_password_only(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    account = make_account(path, "correct horse")
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_account(path, "correct horse").address == account.address
    with pytest.raises(KeyFileError, match="the password does not decrypt this key file; fix: provide the password"):
        load_account(path, "wrong")
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="the file already exists"):
        make_account(path, "x")
    assert path.read_bytes() == before


def test_a_light_key_file_opens_in_little_memory(tmp_path: Path) -> None:
    account = make_account(tmp_path / "key.json", "x", light=True)
    assert json.loads((tmp_path / "key.json").read_text())["crypto"]["kdfparams"]["n"] == 4096
    assert load_account(tmp_path / "key.json", "x").address == account.address


def test_a_key_file_of_another_program_can_be_opened(tmp_path: Path) -> None:
    for kdf in ("scrypt", "pbkdf2"):
        path = tmp_path / kdf
        path.write_text(json.dumps(EthAccount.encrypt(KEY, "x", kdf=kdf, iterations=2)))
        assert str(load_account(path, "x")) == "0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"version": 3}', '{"version": 9}', "[" * 100_000, "\0"])
def test_what_is_no_key_file_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(text)
    with pytest.raises(KeyFileError, match="is not an encrypted key file"):
        load_account(path, "x")
    with pytest.raises(KeyFileError, match="does not exist"):
        load_account(tmp_path / "nowhere", "x")
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_account(tmp_path, "x")
    path.write_bytes(b"\xff")
    with pytest.raises(KeyFileError, match="not UTF-8"):
        load_account(path, "x")


def test_a_transaction_is_signed_as_eip_155_shows_it() -> None:
    """By the key of its example, for the address of its example."""
    transaction = Transaction(1, 9, bytes.fromhex("35" * 20), b"", 21000, Fees(20 * 10**9, None))
    raw, tx = Account(KEY).sign(transaction)
    assert Account(KEY).sign(transaction) == (raw, tx)
    assert EthAccount.recover_transaction(raw).lower() == "0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"
    raw, _ = Account(KEY).sign(Transaction(1, 9, None, b"\1", 21000, Fees(20 * 10**9, 10**9)))
    assert raw[0] == 2  # EIP-1559
    assert EthAccount.recover_transaction(raw).lower() == "0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"


def test_the_interpreter_keeps_its_recursion_limit() -> None:
    program = (
        "import sys; n = sys.getrecursionlimit(); import ledger_client.ledgers.evm.driver; "
        "print(n, sys.getrecursionlimit())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    before, after = done.stdout.split()
    assert before == after
