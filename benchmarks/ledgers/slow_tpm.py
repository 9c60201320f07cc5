"""A TPM as slow as hardware: swtpm behind a relay on this machine that holds each of its answers up."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ledger_client.tokens.token import forget_modules
from tests.support.tokens.swtpm import SwTpm, two_free_ports

_TCTI = "TPM2_PKCS11_TCTI"


@contextmanager
def slowed(token: SwTpm, delay_s: float) -> Iterator[None]:
    """Within this, modules of this process and of those that it starts reach the TPM through the relay."""
    forget_modules()
    before, port = os.environ[_TCTI], two_free_ports()
    with _relay(port, token.tpm.port, delay_s), _relay(port + 1, token.tpm.port + 1, 0.0):  # commands, and its control
        os.environ[_TCTI] = f"swtpm:host=127.0.0.1,port={port}"
        try:
            yield
        finally:
            forget_modules()
            os.environ[_TCTI] = before


@contextmanager
def _relay(port: int, target: int, delay_s: float) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)) as listener:
        threading.Thread(target=_accept, args=(listener, target, delay_s), daemon=True).start()
        yield


def _accept(listener: socket.socket, target: int, delay_s: float) -> None:
    with suppress(OSError):
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", target))
            for one, other, delay in ((near, far, 0.0), (far, near, delay_s)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=_pump, args=(one, other, delay), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket, delay_s: float) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            if delay_s:
                time.sleep(delay_s)
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
