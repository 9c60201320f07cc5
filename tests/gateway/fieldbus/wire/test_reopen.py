"""A connection that the device closed behind its answer is opened again: at once, and once more after a moment."""

from __future__ import annotations

# not quick: a slot that is taken is waited for
import asyncio

import pytest

from gateway.fieldbus.wire import reopen
from gateway.fieldbus.wire.errors import LineDown, Unreachable
from gateway.fieldbus.wire.reopen import reopened
from gateway.messages.message import Message

PAUSE_S = 0.05


class Slot:
    """A device that fails the first tries, each with its error; notes when it was tried."""

    def __init__(self, *errors: LineDown) -> None:
        self.errors, self.tried_s = list(errors), list[float]()

    async def connect(self) -> str:
        self.tried_s.append(asyncio.get_running_loop().time())
        if self.errors:
            raise self.errors.pop(0)
        return "connection"


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reopen, "RECONNECT_PAUSE_S", PAUSE_S)


def test_a_free_slot_is_taken_at_once() -> None:
    slot = Slot()
    assert asyncio.run(reopened(slot.connect, same_device=True)) == "connection"
    assert len(slot.tried_s) == 1


@pytest.mark.parametrize("same_device", [True, False])
def test_a_slot_that_is_not_offered_yet_is_tried_again_after_a_moment(same_device: bool) -> None:
    slot = Slot(LineDown("refused"))
    assert asyncio.run(reopened(slot.connect, same_device=same_device)) == "connection"
    first, second = slot.tried_s
    assert second - first >= PAUSE_S


@pytest.mark.parametrize("kind", [LineDown, Unreachable])
def test_a_device_that_takes_no_other_connection_is_said_to(kind: type[LineDown]) -> None:
    slot = Slot(LineDown("first"), kind("10.0.0.5:502: Connection refused"))
    with pytest.raises(LineDown) as error:
        asyncio.run(reopened(slot.connect, same_device=True))
    assert type(error.value) is kind
    assert error.value.message == Message("device-closed-for-good", error="10.0.0.5:502: Connection refused")
    assert len(slot.tried_s) == 2


def test_of_what_may_be_another_device_the_error_is_its_own() -> None:
    second = Unreachable("nobody is there")
    with pytest.raises(Unreachable) as error:
        asyncio.run(reopened(Slot(LineDown("first"), second).connect, same_device=False))
    assert error.value is second
