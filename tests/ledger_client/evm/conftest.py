"""Loaded before any test here: a library of Ethereum's raises the recursion limit when it is loaded by itself, and then
deeply nested JSON kills the process. Our module takes that back."""

import ledger_client.ledgers.evm.account  # noqa: F401
