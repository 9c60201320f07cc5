"""``meterseal-ledger bridge``: options that do not go together are named, with the way out."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.support.commands import ledger_command

USUAL = "--name demo-ledger --mqtt mqtt://127.0.0.1:1"
CHAIN = "--evm http://127.0.0.1:1 --contract 0x" + 40 * "a" + " --chain-id 1"
MISTAKES = {
    USUAL: "either --http or --evm must be given",
    f"{USUAL} --http http://h --evm http://h": "either --http or --evm must be given",
    "--name a/b --mqtt mqtt://h --http http://h": "--name 'a/b': a ledger's name is",
    f"{USUAL} --http http://h --part 1/2": "--part belongs to --evm",
    f"{USUAL} --http http://h --confirmations 1": "--confirmations belongs to --evm",
    f"{USUAL} --http http://h --legacy": "--legacy belongs to --evm",
    f"{USUAL} --http h:8700": "--http: is not an HTTP address",
    f"{USUAL} --http mqtt://h": "--http: is not an HTTP address",
    f"{USUAL} --http http://": "--http: is not an HTTP address",
    f"{USUAL} --evm h:8545": "--evm: is not an HTTP address",
    "--name a --mqtt http://h --http http://h": "--mqtt: 'http://h' is not a broker address",
    f"{USUAL} --evm http://h": "--contract is missing: --evm needs it",
    f"{USUAL} {CHAIN}": "--keystore is missing",
    f"{USUAL} {CHAIN} --part 3/2": "--part '3/2': not a part",
    f"{USUAL} {CHAIN} --keystore none.json --keystore-password-file none": "--keystore-password-file: none does not",
    f"{USUAL} --http http://h --token-file none": "--token-file: would be sent unencrypted",
    f"{USUAL} --http https://h --cert none --key none": "--cert: none does not exist",
    f"{USUAL} --mqtt-ca none --http http://h": "--mqtt-ca: has no effect",
    "--name a --mqtt mqtt://u:do-not-print-me@h --http http://h": "--mqtt: contains a user name or password",
    "--name a --mqtt mqtt://h --http http://u:do-not-print-me@h": "--http: contains a user name or password",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_are_named(line: str, tmp_path: Path) -> None:
    done = ledger_command("bridge", tmp_path / "bridge", *shlex.split(line))
    assert MISTAKES[line] in done.ended(2).err
    assert "do-not-print-me" not in done.output
    assert not (tmp_path / "bridge").exists()  # else it would be the book of another duty


def test_an_address_that_is_none_is_named(tmp_path: Path) -> None:
    line = f"{USUAL} --evm http://h --contract 0x12"
    assert "'--contract': '0x12' is no address" in ledger_command("bridge", tmp_path, *line.split()).output
