"""Reopening of a connection that the device closed behind its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.fieldbus.wire.connections import RECONNECT_PAUSE_S
from gateway.fieldbus.wire.errors import LineDown
from gateway.messages.message import Message

_T = TypeVar("_T")


async def reopened(connect: Callable[[], Awaitable[_T]], *, same_device: bool) -> _T:
    """Another connection, at the second try if need be: a device with one slot needs a moment to offer it again.

    Args:
        connect: one try; raises LineDown when there is no connection to be had.
        same_device: the connection leads to the device that closed the last one.

    Raises:
        LineDown: the second try failed, too; of the class of its error.
    """
    try:
        return await connect()
    except LineDown:
        await asyncio.sleep(RECONNECT_PAUSE_S)
    try:
        return await connect()
    except LineDown as error:
        if not same_device:
            raise
        raise type(error)(Message("device-closed-for-good", error=error.sentence)) from None
