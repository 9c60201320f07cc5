"""Read lengths: whether a device answers the reads that its profile's plan needs."""

from __future__ import annotations

from gateway.commissioning.identity.unit_reads import UnitReads
from gateway.devices.points import Profile
from gateway.devices.read_plan import Limits, plan
from gateway.devices.register_block import RegisterBlock


async def too_long(reads: UnitReads, profile: Profile) -> tuple[int, int] | None:
    """The longest read of a poll, if the device refuses it and answers a shorter one from the same register: how many
    registers it answers, and how many it was asked for in vain. None: it answers, or refuses the place as such."""
    blocks = plan(profile.select(), Limits.of(profile, variants=1))
    longest = max((b for b in blocks if b.fc in (3, 4)), key=lambda b: b.count, default=None)
    if longest is None or longest.count < 4:
        return None
    if await reads.refuses(longest.fc, longest.address, longest.count) is not True:
        return None
    refused = longest.count
    while (count := _half(longest, refused)) >= 2:
        if await reads.refuses(longest.fc, longest.address, count) is False:
            return count, refused
        refused = count
    return None


def _half(block: RegisterBlock, count: int) -> int:
    """About half of the registers, up to the end of a point."""
    ends = [offset + p.registers for p, offset in zip(block.points, block.offsets, strict=True)]
    fitting = [end for end in ends if end <= count / 2]
    return max(fitting, default=0)
