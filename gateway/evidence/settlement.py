"""Settlement of a batch on a ledger: a receipt that the verifier accepts, or a final place on a chain.

A receipt is a COSE_Sign1 (tag 18). A place (EVIDENCE §6) is a map: the driver hands it over once the chain's own rule
says that it is final, and here it must be the chain and the contract that the configuration names.
"""

from __future__ import annotations

from gateway.config.ledger import Contract
from gateway.messages.message import Message
from ledger_client.errors import VerificationError
from ledger_client.formats.bundle import decode_locator
from ledger_client.formats.merkle import leaf_hash, root_from_path
from ledger_client.formats.statement import statement_id
from ledger_client.messages import Sentence
from ledger_client.verification.trust import Trust
from ledger_client.verification.vouching import check_receipt


class NotOurs(Exception):
    """An answer that does not settle this batch: ``sentence`` is why."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def demand_settled(
    entry: bytes, answer: bytes, ledger: str, trust: Trust, now_s: int, contract: Contract | None = None
) -> None:
    """Raises NotOurs unless ``answer`` settles the batch of this entry on the ledger of this name.

    ``contract``: where the ledger lives, if it is one on a chain.
    """
    if contract is not None:
        _demand_place(entry, answer, ledger, contract)
        return
    try:
        issuer, _ = check_receipt(entry, answer, trust, now_s)
    except VerificationError as error:
        raise NotOurs(Message("receipt-invalid", kind=type(error).__name__, detail=error.sentence)) from None
    if issuer != ledger:
        raise NotOurs(Message("receipt-of-other-ledger", issuer=issuer))


def _demand_place(entry: bytes, answer: bytes, ledger: str, contract: Contract) -> None:
    try:
        place = decode_locator(answer)
    except VerificationError as error:
        raise NotOurs(Message("place-invalid", detail=error.sentence)) from None
    named = (place.ledger, place.chain, place.contract)
    if named != (ledger, contract.chain, contract.address):
        raise NotOurs(
            Message(
                "place-elsewhere",
                ledger=place.ledger,
                chain=place.chain,
                contract=place.contract.hex(),
                own_ledger=ledger,
                own_chain=contract.chain,
                own_contract=contract.address.hex(),
            )
        )
    if place.inclusion is not None:
        size, index, path = place.inclusion
        try:
            root_from_path(leaf_hash(statement_id(entry)), size, index, path)
        except VerificationError as error:
            raise NotOurs(Message("place-path-invalid", detail=error.sentence)) from None
