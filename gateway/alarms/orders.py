"""Orders of the control socket, and of the pages, to the board of alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.alarms.board import AlarmBoard
from gateway.process.control_server import Order


def orders(board: AlarmBoard) -> dict[str, Order]:
    """Orders of the control socket to the board; each action with the name of the user for its event."""

    async def alarms(_: Mapping[str, Any]) -> dict[str, Any]:
        listed, shelved = [[row.as_json() for row in rows] for rows in (board.listed(), board.shelved())]
        return {"alarms": listed, "shelved": shelved, "shown": board.moment()}

    async def acknowledge(order: Mapping[str, Any]) -> dict[str, Any]:
        return (await board.operator.acknowledge(order["id"], order["user"], order.get("note", ""))).as_json()

    async def acknowledge_shown(order: Mapping[str, Any]) -> dict[str, Any]:
        code, numbers = order.get("code"), order.get("ids", ())
        shown_ms, user, note = order["shown"], order["user"], order.get("note", "")
        done = await board.operator.acknowledge_shown(shown_ms, user, note, code=code, numbers=numbers)
        return {"alarms": [row.as_json() for row in done.rows], "changed": done.changed}

    async def shelve(order: Mapping[str, Any]) -> dict[str, Any]:
        row = await board.operator.shelve(order["id"], order["user"], order["for_ms"], order.get("reason", ""))
        return row.as_json()

    async def unshelve(order: Mapping[str, Any]) -> dict[str, Any]:
        return (await board.operator.unshelve(order["id"], order["user"])).as_json()

    return {
        "alarms": alarms,
        "acknowledge": acknowledge,
        "acknowledge-shown": acknowledge_shown,
        "shelve": shelve,
        "unshelve": unshelve,
    }
