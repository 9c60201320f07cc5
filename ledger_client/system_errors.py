"""Messages for what the operating system and the resolver say."""

from __future__ import annotations

import errno
import os
from typing import Final

from ledger_client.messages import Message, Sentence

_ERRNO: Final = {
    number: f"errno-{errno.errorcode[number].lower()}"
    for number in (
        errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOSPC, errno.EDQUOT,
        errno.EROFS, errno.EIO, errno.EMFILE, errno.ENODEV, errno.ENXIO, errno.ECONNREFUSED, errno.ECONNRESET,
        errno.EPIPE, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ETIMEDOUT, errno.EADDRINUSE,
        errno.EADDRNOTAVAIL,
    )
}  # fmt: skip
_RESOLVER: Final = {-2: "resolver-unknown-host", -3: "resolver-temporary", -5: "resolver-no-address"}
"""EAI_NONAME, EAI_AGAIN and EAI_NODATA of netdb.h: no room that imports this need load sockets."""
SYSTEM_CODES: Final = frozenset({*_ERRNO.values(), *_RESOLVER.values(), "errno-timed-out"})


def os_error(error: OSError) -> Sentence:
    """What the system says, for a sentence that names the file or the place; a text that is not in the catalogues as
    it is."""
    number = error.errno or 0
    code = (_RESOLVER if number < 0 else _ERRNO).get(number)
    if "SSL" in type(error).__name__:  # OpenSSL counts its errors, too
        code = None
    if code is None and not number and str(error) == "timed out":
        code = "errno-timed-out"
    if code is not None:
        return Message(code)
    return error.strerror or (os.strerror(number) if number > 0 else str(error))
