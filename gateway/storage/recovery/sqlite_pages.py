"""SQLite pages: rows read from a damaged database file and its write-ahead log without SQLite. Reads only.

Nothing of the file is relied upon: not its header, not its schema, not the pages that lead to other pages. Every image
of a page that a commit has left (in the file, in the log) is read by itself, and what is not exactly a row is none.
Source: "Database File Format" of SQLite, §1.5 (pages), §1.6 (overflow), §2.1 (rows), §4 (the write-ahead log).
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from gateway.storage.files import log_path

MAGIC = b"SQLite format 3\x00"
PAGE_SIZE = 4096  # SQLite's own choice for a new database
TABLE_LEAF, INDEX_LEAF, INDEX_NODE = 0x0D, 0x0A, 0x02
LOG_HEADER, FRAME_HEADER = 32, 24
LOG_MAGIC = 0x377F0682

_FRAME = struct.Struct(">6I")

Value = int | str | bytes | None


class Row(NamedTuple):
    """A row of a table with its rowid, or an entry of an index (``rowid`` None); its shape shows the table."""

    rowid: int | None
    values: tuple[Value, ...]


class NoRow(Exception):
    """The bytes are no row."""


class Log(NamedTuple):
    """Frames of a write-ahead log that were committed: (page number, place of its image in the log), in order; what is
    left of an earlier round of it; and whether SQLite would pass over some of the present one."""

    frames: list[tuple[int, int]]
    earlier: list[tuple[int, int]]
    damaged: bool


class Pages:
    """The pages of a database file and of the log beside it; either may be missing, short or full of noise."""

    def __init__(self, path: Path) -> None:
        """Open both for reading. Raises OSError where a file is there and cannot be opened."""
        self._file = path.open("rb", buffering=0) if path.exists() else None
        self.log = log_path(path)
        self._log_data = self.log.read_bytes() if self.log.exists() else b""
        self.size = self._page_size()
        self.count = -(-(path.stat().st_size if self._file else 0) // self.size)
        self.frames, self._earlier, self.log_damaged = committed(self._log_data, self.size, self._file_page)
        self._newest = dict(self.frames)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def rows(self) -> Iterator[Row]:
        """What stands in any image of a page but the first, which holds the schema; of an index only in the newest."""
        for number in range(2, self.count + 1):
            if image := self._file_page(number):
                yield from self._cells(image, newest=number not in self._newest)
        for number, place in (*self._earlier, *self.frames):
            if number != 1:
                image = self._log_data[place : place + self.size]
                yield from self._cells(image, newest=self._newest.get(number) == place)

    def _cells(self, image: bytes, *, newest: bool) -> Iterator[Row]:
        kind = image[0]
        if kind != TABLE_LEAF and not (newest and kind in (INDEX_LEAF, INDEX_NODE)):
            return
        begin = 12 if kind == INDEX_NODE else 8
        cells = int.from_bytes(image[3:5], "big")
        if begin + 2 * cells > self.size:
            return
        for place in struct.unpack_from(f">{cells}H", image, begin):
            try:
                yield self._row(kind, image, place)
            except (NoRow, IndexError, struct.error):
                continue

    def _page_size(self) -> int:
        head = self._read(0, 18)
        size = int.from_bytes(head[16:18], "big") if head.startswith(MAGIC) else 0
        if not head.startswith(MAGIC) and _log_order(self._log_data) is not None:
            size = int.from_bytes(self._log_data[8:12], "big")
        return size if size in (512, 1024, 2048, 4096, 8192, 16384, 32768) else PAGE_SIZE

    def _read(self, place: int, size: int) -> bytes:
        """Bytes of the file; fewer at its end, none where the disk cannot read them."""
        if self._file is None:
            return b""
        try:
            return os.pread(self._file.fileno(), size, place)
        except OSError:
            return b""

    def _file_page(self, number: int) -> bytes:
        image = self._read((number - 1) * self.size, self.size)
        return image if len(image) == self.size else b""

    def _page(self, number: int) -> bytes:
        place = self._newest.get(number)
        return self._file_page(number) if place is None else self._log_data[place : place + self.size]

    def _row(self, kind: int, image: bytes, place: int) -> Row:
        if kind == INDEX_NODE:
            place += 4
        length, place = _varint(image, place)
        rowid = None
        if kind == TABLE_LEAF:
            rowid, place = _varint(image, place)
        return Row(rowid, _values(self._content(image, place, length, table=kind == TABLE_LEAF)))

    def _content(self, image: bytes, place: int, length: int, *, table: bool) -> bytes:
        """The content of a cell, with what stands on overflow pages (§1.6)."""
        most = self.size - 35 if table else (self.size - 12) * 64 // 255 - 23
        if length <= most:
            return _slice(image, place, length)
        if length > self.size * (self.count + len(self.frames) + 1):
            raise NoRow
        least = (self.size - 12) * 32 // 255 - 23
        local = least + (length - least) % (self.size - 4)
        local = local if local <= most else least
        parts, missing = [_slice(image, place, local)], length - local
        following = int.from_bytes(_slice(image, place + local, 4), "big")
        while missing > 0:
            page = self._page(following) if following > 1 else b""
            if not page:
                raise NoRow
            parts.append(page[4 : 4 + missing])
            missing -= self.size - 4
            following = int.from_bytes(page[:4], "big")
        return b"".join(parts)


def committed(log: bytes, size: int, file_page: Callable[[int], bytes] | None = None) -> Log:
    """What of a log was committed (§4.1, §4.3).

    Frames hang together by a running checksum. SQLite ends at the first that does not fit; that is right for the last
    commit before a power cut. Where two or more whole commits follow behind such a place, the disk had them: every
    commit is synced before the next one is written. They count, and the log is damaged. Behind them may stand what an
    earlier round has left, which is in the file since long, unless that is what is damaged.
    """
    order, frame_size = _log_order(log), FRAME_HEADER + size
    count = max(0, (len(log) - LOG_HEADER) // frame_size)
    heads = [_FRAME.unpack_from(log, LOG_HEADER + i * frame_size) for i in range(count)]
    salts = struct.unpack_from(">2I", log, 16) if order else None
    seed = struct.unpack_from(">2I", log, 24) if order else None
    now: list[tuple[int, int]] = []
    earlier: list[tuple[int, int]] = []
    unended: list[
        tuple[int, int]
    ] = []  # of a commit whose end is damaged: whole commits behind it show that it was one
    damaged = False
    i = 0
    while i < count:
        end, commits, last = i, 0, i
        while end < count and _fits(log, heads, end, frame_size, salts, seed, order or sys.byteorder):
            end += 1
            if heads[end - 1][1]:
                commits, last = commits + 1, end
        run = [(heads[k][0], LOG_HEADER + k * frame_size + FRAME_HEADER) for k in range(i, end)]
        whole, rest = run[: last - i], run[last - i :]
        proven, present = (i == 0 and order and commits) or commits >= 2, salts is None or heads[i][2:4] == salts
        if proven and present:
            now, unended, damaged = now + unended + whole, rest, damaged or i > 0
        elif proven:
            earlier += whole
        elif present:
            unended = unended + run
        i = max(end, i + 1)
    return Log(now, earlier, damaged and _tells_more(log, size, now, file_page))


def _fits(
    log: bytes,
    heads: list[tuple[int, ...]],
    i: int,
    frame_size: int,
    salts: tuple[int, ...] | None,
    seed: tuple[int, ...] | None,
    order: str,
) -> bool:
    """Whether a frame hangs on the one before it, the first one on the header of the log."""
    before = heads[i - 1][4:6] if i else seed
    round_ = heads[i - 1][2:4] if i else salts
    if before is None or heads[i][0] == 0 or heads[i][2:4] != round_:
        return False
    place = LOG_HEADER + i * frame_size
    checked = log[place : place + 8] + log[place + FRAME_HEADER : place + frame_size]
    return _checksum(checked, before[0], before[1], order) == heads[i][4:6]


def _tells_more(log: bytes, size: int, frames: list[tuple[int, int]], file_page: Callable[[int], bytes] | None) -> bool:
    """Whether the frames hold what the file does not: an old log that was copied back long ago tells nothing."""
    return file_page is None or any(
        file_page(number) != log[place : place + size] for number, place in dict(frames).items()
    )


def _log_order(log: bytes) -> str | None:
    """The byte order of a log's checksums; None when its header does not hold."""
    if len(log) < LOG_HEADER:
        return None
    (magic,) = struct.unpack_from(">I", log)
    order = {LOG_MAGIC: "little", LOG_MAGIC | 1: "big"}.get(magic)
    if order is None or _checksum(log[:24], 0, 0, order) != struct.unpack_from(">2I", log, 24):
        return None
    return order


def _checksum(data: bytes, s0: int, s1: int, order: str) -> tuple[int, int]:
    words = struct.unpack(f"{'<' if order == 'little' else '>'}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        s0 = (s0 + first + s1) & 0xFFFFFFFF
        s1 = (s1 + second + s0) & 0xFFFFFFFF
    return s0, s1


def _slice(data: bytes, place: int, length: int) -> bytes:
    part = data[place : place + length]
    if len(part) != length:
        raise NoRow
    return part


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for i in range(8):
        byte = data[place + i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + i + 1
    value = value << 8 | data[place + 8]
    return value - (1 << 64) if value >> 63 else value, place + 9


def _values(content: bytes) -> tuple[Value, ...]:
    """The columns of a row (§2.1). Raises NoRow unless they fill the content exactly."""
    head, place = _varint(content, 0)
    types = []
    while place < head:
        kind, place = _varint(content, place)
        types.append(kind)
    if place != head:
        raise NoRow
    values: list[Value] = []
    for kind in types:
        value, place = _value(kind, content, place)
        values.append(value)
    if place != len(content):
        raise NoRow
    return tuple(values)


_WIDTHS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def _value(kind: int, content: bytes, place: int) -> tuple[Value, int]:
    if kind >= 12:
        length = (kind - 12) // 2
        part = _slice(content, place, length)
        if kind % 2 == 0:
            return part, place + length
        try:
            return part.decode(), place + length
        except UnicodeDecodeError:
            raise NoRow from None
    if kind in _WIDTHS:
        width = _WIDTHS[kind]
        return int.from_bytes(_slice(content, place, width), "big", signed=True), place + width
    if kind in (8, 9):
        return kind - 8, place
    if kind == 0:
        return None, place
    raise NoRow
