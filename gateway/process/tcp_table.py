"""TCP sockets of this machine, as the kernel lists them: who is connected to a port, and which process listens there.

Source: proc(5), /proc/net/tcp; states as in the kernel's include/net/tcp_states.h.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import sys
from collections.abc import Iterator
from typing import NamedTuple

ESTABLISHED, LISTEN = 1, 10
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


class _Socket(NamedTuple):
    local: tuple[str, int]
    peer: str
    state: int
    inode: int


def connected(host: str, port: int) -> list[str]:
    """IP addresses that are connected to this one, in order, each once; an unspecified host is all of the machine's."""
    found = (s for s in _sockets() if s.state == ESTABLISHED and s.local[1] == port and _at(s.local[0], host))
    return sorted({s.peer for s in found})


def listens(pid: int, host: str, port: int) -> bool:
    """Whether a process has the socket that listens there, as far as /proc may be read."""
    inodes = {f"socket:[{s.inode}]" for s in _sockets() if s.state == LISTEN and s.local == (host, port)}
    folder = f"/proc/{pid}/fd"
    try:
        descriptors = os.listdir(folder)
    except OSError:
        return False
    for descriptor in descriptors if inodes else ():
        with contextlib.suppress(OSError):  # closed meanwhile
            if os.readlink(f"{folder}/{descriptor}") in inodes:
                return True
    return False


def _at(local: str, host: str) -> bool:
    return local == host or ipaddress.ip_address(host).is_unspecified


def _sockets() -> Iterator[_Socket]:
    for table in _TABLES:
        try:
            with open(table) as file:
                rows = file.readlines()[1:]
        except OSError:  # a kernel without IPv6
            continue
        for row in rows:
            words = row.split()
            yield _Socket(_place(words[1]), _place(words[2])[0], int(words[3], 16), int(words[9]))


def _place(text: str) -> tuple[str, int]:
    """``0100007F:1388`` → ``("127.0.0.1", 5000)``: words of four bytes in the order of this machine. An IPv4 address in
    IPv6 form is given as IPv4."""
    words, _, port = text.partition(":")
    parts = (int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8))
    address = ipaddress.ip_address(b"".join(parts))
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return str(address), int(port, 16)
