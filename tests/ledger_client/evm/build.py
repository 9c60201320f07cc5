"""Compile the contracts. ``python -m tests.ledger_client.evm.build`` writes what the product ships of them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from eth_utils.abi import collapse_if_tuple
from eth_utils.crypto import keccak

ROOT = Path(__file__).parents[3]
CONTRACTS = ROOT / "ledger_client" / "contracts"
NAMES = sorted(source.stem for source in CONTRACTS.glob("*.vy"))


def vyper(name: str, output: str) -> list[str]:
    """What the compiler prints of a contract, one line for each of the comma-separated outputs."""
    compiler = Path(os.environ.get("METERSEAL_VYPER", ROOT / ".venv-vyper" / "bin" / "vyper"))
    assert compiler.exists(), f"{compiler} is missing: scripts/test makes the environment of the compiler"
    done = subprocess.run(
        [compiler, "-f", output, CONTRACTS / f"{name}.vy"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def products(name: str) -> dict[str, str]:
    """The files that come from a contract's source: file name → text."""
    abi_line, bytecode, runtime = vyper(name, "abi,bytecode,bytecode_runtime")
    abi = json.loads(abi_line)
    signatures = {(item["type"], item["name"]): _signature(item) for item in abi if "name" in item}
    build = {
        "compiler": f"vyper {_version()}",
        "methods": {n: keccak(text=s)[:4].hex() for (kind, n), s in signatures.items() if kind == "function"},
        "events": {n: keccak(text=s).hex() for (kind, n), s in signatures.items() if kind == "event"},
        "bytecode": bytecode.removeprefix("0x"),
        "runtime": runtime.removeprefix("0x"),
    }
    return {f"{name}.abi.json": _text(abi), f"{name}.json": _text(build)}


def _version() -> str:
    compiler = os.environ.get("METERSEAL_VYPER", ROOT / ".venv-vyper" / "bin" / "vyper")
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def _signature(item: dict[str, Any]) -> str:
    return f"{item['name']}({','.join(map(collapse_if_tuple, item['inputs']))})"


def _text(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"


if __name__ == "__main__":
    for contract in NAMES:
        for file, text in products(contract).items():
            (CONTRACTS / file).write_text(text)
