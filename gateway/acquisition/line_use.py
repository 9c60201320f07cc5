"""Line use: until when earlier processes may have sent requests on a line; the next process waits that long.

What a gateway asked stands in its database (its stop, or none if it was killed); what `meterseal read` and `doctor`
asked stands in a small file beside it, by the port or endpoint of the line.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateway.clock import Clock
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.fieldbus.endpoints import endpoint_of
from gateway.fieldbus.polling.line import Waits, key_table, read_once
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.connections import Endpoint
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.process import instance_lock
from gateway.process.file_owner import as_its_folder
from gateway.records import GATEWAY
from gateway.storage.database import Database
from gateway.storage.rows import asked_until_ms
from ledger_client.durable_files import whole_file

log = logging.getLogger("meterseal.fieldbus")

Use = dict[str, int | None]
"""Line (its port or endpoint) → unix ms at which it was let go; None: unknown, as after a kill."""


def _path(data: Path) -> Path:
    return data / "asked.json"


def used_until_ms(config: Config, where: str, now_ms: int) -> int | None:
    """Until when another process may have asked on this line, never after ``now_ms``; None: none ever did.

    For a process beside no running gateway: that one asks its lines all the time, and nothing can be waited out.
    """
    return latest(noted_ms(config.data, where, now_ms), _gateway_ms(config, now_ms))


def noted_ms(data: Path, where: str, now_ms: int) -> int | None:
    """Until when requests were sent by hand; a note that cannot be read may say anything, so it counts as now."""
    use = _read(data)
    if use is None:
        return now_ms
    if where not in use:
        return None
    until_ms = use[where]
    return now_ms if until_ms is None else min(until_ms, now_ms)


def latest(*moments_ms: int | None) -> int | None:
    """The latest of these moments, as far as there are any."""
    return max((moment for moment in moments_ms if moment is not None), default=None)


def _gateway_ms(config: Config, now_ms: int) -> int | None:
    try:
        if not config.database.exists():
            return None
        store = Database(config.database, read_only=True, at_rest=instance_lock.running(config.data) is None)
    except GatewayError:
        return now_ms
    try:
        return asked_until_ms(store.records.tail(GATEWAY), now_ms, repaired=bool(store.repairs.unreported()))
    finally:
        store.close()


@contextmanager
def noting(config: Config, where: str, now_ms: Callable[[], int]) -> Iterator[Callable[[], None]]:
    """Call what is given when the line is open: it is in use then, until the block ends."""
    opened = False

    def begin() -> None:
        nonlocal opened
        opened = True
        _note(config.data, where, None)

    try:
        yield begin
    finally:
        if opened:
            _note(config.data, where, now_ms())


class HandSession:
    """Polls by hand of one process, one after the other: what it has asked itself is known key by key, so that only
    that is waited for, and not an answer life before every poll."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Endpoint, int | None]] = {}

    def begin(self, config: Config, spec: LineSpec, now_ms: int) -> tuple[Endpoint | None, int | None]:
        """What is known of the line, and until when others may have asked on it (None: nobody since)."""
        where = endpoint_of(spec)
        used_until = used_until_ms(config, where, now_ms)
        if spec.listen is not None:
            return None, used_until
        if where not in self._known:
            self._known[where] = Endpoint(key_table(spec)), None
            return self._known[where][0], used_until
        endpoint, our_last_ms = self._known[where]
        return endpoint, None if used_until is not None and used_until == our_last_ms else used_until

    def end(self, config: Config, spec: LineSpec) -> None:
        """The line was let go: what is noted now is this session's own use."""
        where = endpoint_of(spec)
        if where in self._known:
            self._known[where] = self._known[where][0], (_read(config.data) or {}).get(where)


async def poll_by_hand(
    config: Config,
    spec: LineSpec,
    meters: Sequence[str],
    clock: Clock,
    waits: Waits = lambda meter, seconds: None,
    session: HandSession | None = None,
) -> list[Poll]:
    """One poll of each of these meters of a line, outside any schedule; its use of the line is noted.

    Args:
        waits: called with meter and seconds before each wait for late answers to the requests of others.
        session: of a process that polls several times.

    Raises:
        PortError: the line cannot be opened.
    """
    where, session = endpoint_of(spec), session or HandSession()
    endpoint, used_until = session.begin(config, spec, clock.now_ms())
    try:
        with noting(config, where, clock.now_ms) as opened:
            return await read_once(
                spec, meters, clock, used_until_ms=used_until, opened=opened, waits=waits, endpoint=endpoint
            )
    finally:
        session.end(config, spec)


def forget(data: Path) -> None:
    """The gateway has begun an epoch and waits what was noted out: from now on its database tells."""
    _path(data).unlink(missing_ok=True)


def _note(data: Path, where: str, until_ms: int | None) -> None:
    try:
        if not data.exists():
            data.mkdir(parents=True)
            as_its_folder(data)
        use = _read(data) or {}
        with whole_file(_path(data)) as file:
            file.write(json.dumps(use | {where: until_ms}).encode())
        as_its_folder(_path(data))
    except OSError as error:
        log.warning(
            "%s: requests on %s cannot be noted (%s): wait for the answer life before you start the gateway, or use "
            "the gateway's own user", data, where, error.strerror,
        )  # fmt: skip


def _read(data: Path) -> Use | None:
    try:
        use = json.loads(_path(data).read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    whole = isinstance(use, dict) and all(until is None or isinstance(until, int) for until in use.values())
    return use if whole else None
