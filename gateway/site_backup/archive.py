"""A site in one tar file: gateway.toml, the database, what they need, and last ``site.json``, which lists all of it.

The list stands last, so a file that was cut off has none. A reader takes nothing that is not in the list, and nothing
whose hash is another.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.site_backup.locked import Lock

MANIFEST: Final = "site.json"
LOCKED: Final = "secrets.fernet"
"""Not a place of a restored folder: the encrypted tar file of keys and passwords."""
_MOST_MANIFEST: Final = 16 * 1024 * 1024
_PIECE: Final = 1 << 20


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listed(_Facts):
    """A file of the archive: its place in a restored folder, bytes, SHA-256 in hex."""

    place: Annotated[str, Field(min_length=1, max_length=1024)]
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Named(_Facts):
    """A key of gateway.toml that has to name a place of the restored folder; what it names now lies outside."""

    key: Annotated[tuple[str, ...], Field(min_length=1, max_length=6)]
    place: str


class Manifest(_Facts):
    """``site.json``. ``made``: Unix milliseconds. ``newest``: of the newest record, likewise. ``data``, ``keys``: the
    places of these folders. ``lock``: how the secrets are encrypted; None: there are none. ``without``: files of the
    site that are not in the archive, by place, or as written where no place is known."""

    format: Literal["meterseal-site/1"] = "meterseal-site/1"
    gateway: str
    software: str
    made: int
    records: int
    batches: int
    newest: int
    data: str
    keys: str
    files: tuple[Listed, ...]
    moved: tuple[Named, ...]
    lock: Lock | None
    without: tuple[str, ...]


class Writer:
    """Adds files to an archive and lists them."""

    def __init__(self, tar: tarfile.TarFile, now_s: int) -> None:
        self._tar, self._now_s = tar, now_s
        self.listed: list[Listed] = []

    def add(self, place: str, file: IO[bytes], size: int) -> None:
        """A file of so many bytes. Raises OSError: it is shorter, or the archive cannot be written."""
        reading = _Hashing(file)
        self._tar.addfile(self._member(place, size), reading)
        self.listed.append(Listed(place=place, size=size, sha256=reading.sha256.hexdigest()))

    def end(self, manifest: Manifest) -> None:
        """The list, as the last file."""
        data = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False).encode()
        self._tar.addfile(self._member(MANIFEST, len(data)), BytesIO(data))

    def _member(self, place: str, size: int) -> tarfile.TarInfo:
        member = tarfile.TarInfo(place)
        member.size, member.mode, member.mtime = size, 0o600, self._now_s
        return member


@contextmanager
def writing(file: IO[bytes], now_s: int) -> Iterator[Writer]:
    """A new archive in an open file. ``now_s``: Unix seconds, the time of its members."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        yield Writer(tar, now_s)


class _Hashing:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.sha256 = file, hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


class Archive:
    """An archive that is open to read, and whose list is sound: every place is one within a folder, once."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self.path, self._tar = path, tar
        self._members = {member.name: member for member in tar.getmembers()}
        self.manifest = self._manifest()
        places = [listed.place for listed in self.manifest.files]
        extra = self._members.keys() ^ {*places, MANIFEST}
        if extra or len(set(places)) != len(places) or len(self._tar.getmembers()) != len(self._members):
            raise self.broken(Message("site-archive-list", places=tuple(sorted(extra)[:3])))
        self.members = {listed.place: listed for listed in self.manifest.files}

    def _manifest(self) -> Manifest:
        member = self._members.get(MANIFEST)
        if member is None or not member.isreg() or member.size > _MOST_MANIFEST:
            raise self.broken(Message("site-archive-no-list", name=MANIFEST))
        stream = self._tar.extractfile(member)
        assert stream is not None, "a regular file"
        try:
            manifest = Manifest.model_validate_json(stream.read())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or MANIFEST
            raise self.broken(Message("site-archive-list-wrong", name=MANIFEST, where=where)) from None
        for place in (*(x.place for x in manifest.files), *(x.place for x in manifest.moved)):
            demand_place(place)
        for folder in (manifest.data, manifest.keys):
            demand_place(folder)
        return manifest

    def copy(self, place: str, target: IO[bytes]) -> None:
        """Write one file to ``target``. Raises GatewayError: it is not what the list says; OSError: of ``target``."""
        if place not in self.members:
            raise self.broken(Message("site-archive-file", place=place))
        listed, member = self.members[place], self._members[place]
        stream = self._tar.extractfile(member) if member.isreg() else None
        if stream is None or member.size != listed.size:
            raise self.broken(Message("site-archive-file", place=place))
        sha256 = hashlib.sha256()
        try:
            for piece in iter(lambda: stream.read(_PIECE), b""):
                sha256.update(piece)
                target.write(piece)
        except tarfile.TarError:
            raise self.broken(Message("site-archive-file", place=place)) from None
        if sha256.hexdigest() != listed.sha256:
            raise self.broken(Message("site-archive-file", place=place))

    def content(self, place: str) -> bytes:
        """A small file. Raises GatewayError: it is not there, or not what the list says."""
        data = BytesIO()
        self.copy(place, data)
        return data.getvalue()

    def broken(self, why: Message) -> GatewayError:
        return GatewayError(Message("site-archive-broken", path=str(self.path), why=why))


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """A site's archive to read. Raises GatewayError: it cannot be read, or is none."""
    with ExitStack() as stack:
        try:
            archive = Archive(path, stack.enter_context(tarfile.open(path, mode="r:")))
        except tarfile.TarError:
            raise GatewayError(Message("site-archive-none", path=str(path))) from None
        except OSError as error:
            raise GatewayError(Message("site-archive-unreadable", path=str(path), error=os_error(error))) from None
        yield archive


def is_archive(path: Path) -> bool:
    """Whether a file is a site's backup."""
    try:
        with opened(path):
            return True
    except GatewayError:
        return False


def demand_place(place: str) -> None:
    """Raises GatewayError unless this is a path that stays within a folder."""
    parts = PurePosixPath(place).parts
    if not parts or place.startswith("/") or ".." in parts or "\\" in place or not place.isprintable():
        raise GatewayError(Message("site-archive-place", place=place))


def packed(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Small files as the bytes of a tar file."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for place, data in files:
            member = tarfile.TarInfo(place)
            member.size, member.mode = len(data), 0o600
            tar.addfile(member, BytesIO(data))
    return out.getvalue()


def unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of ``packed``. Raises GatewayError: another member than a file within a folder."""
    with tarfile.open(fileobj=BytesIO(data), mode="r:") as tar:
        for member in tar:
            demand_place(member.name)
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is None:
                raise GatewayError(Message("site-archive-place", place=member.name))
            yield member.name, stream.read()
