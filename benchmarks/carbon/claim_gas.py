"""What claims cost on a chain: measured on a fresh contract, by the receipts of its transactions."""

from __future__ import annotations

from ledger_client.contracts.claim_registry import MOST_INTERVALS
from ledger_client.ledgers.evm.node import Node
from tests.ledger_client.evm.claims import claims, h, hour


def measure(node: Node) -> dict[str, int]:
    """Deploy a registry, issue a day's hours of a device in one call, and move some of them.

    ``gas_issue_hour``: the share of each hour when a whole day goes to one holder in one call, rounded up;
    ``gas_issue_one``: a call with one interval. A transfer goes to a party that holds none of the certificate;
    ``end`` and ``middle``: units of a slice that leave one or two others behind.
    """
    made = claims(node)
    created = node.receipt(made.registry.logs()[0].tx)
    assert created is not None
    day = made.issue(*(hour(n) for n in range(MOST_INTERVALS))).gas_used
    one = made.issue(hour(MOST_INTERVALS)).gas_used

    def transfer(n: int, a: int, b: int) -> int:
        return made.claim("buyer", "transfer", hour(n).id, 0, a, b, h("other"), h("claim")).gas_used

    whole, end, middle = transfer(0, 0, 100), transfer(1, 0, 40), transfer(2, 20, 60)
    use = "consumption", hour(3).begin, hour(3).end, h("for"), h("claim")
    retired = made.claim("buyer", "retire", hour(3).id, 0, 0, 100, *use).gas_used
    exported = made.claim("buyer", "export", hour(4).id, 0, 0, 100, "elsewhere", "reference 7", h("claim")).gas_used
    withdrawn = made.claim("issuer", "withdraw", *hour(5).parts, "read wrongly", h("claim")).gas_used
    return {
        "gas_deploy": created.gas_used,
        "gas_issue_hour": -(-day // MOST_INTERVALS),
        "gas_issue_one": one,
        "gas_transfer_whole": whole,
        "gas_transfer_end": end,
        "gas_transfer_middle": middle,
        "gas_retire_whole": retired,
        "gas_export_whole": exported,
        "gas_withdraw": withdrawn,
    }
