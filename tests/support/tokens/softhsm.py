"""SoftHSM2 (softhsm2): a token in files, with Ed25519. It is nobody's process: it is taken away by ``unplug``."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.tokens.engine import PIN, SO_PIN, Engine, reachable

MODULE: Final = Path("/usr/lib/softhsm/libsofthsm2.so")


class SoftHsm(Engine):
    """A token whose files may be taken away."""

    def unplug(self) -> None:
        """Take the token away; a process notices when it logs in anew."""
        (self.folder / "tokens").rename(self.folder / "unplugged")
        (self.folder / "tokens").mkdir()

    def plug(self) -> None:
        """Bring it back."""
        (self.folder / "tokens").rmdir()
        (self.folder / "unplugged").rename(self.folder / "tokens")


@contextmanager
def softhsm(folder: Path, label: str = "site") -> Iterator[SoftHsm]:
    """A new token, reachable for this process while the block lasts."""
    assert MODULE.exists(), f"{MODULE} is missing: apt-get install softhsm2"
    (folder / "tokens").mkdir(parents=True)
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    made = SoftHsm(folder, MODULE, label, {"SOFTHSM2_CONF": str(config)})
    made.write_pin(PIN)
    with reachable(made.env):
        add_token(label)
        yield made


def add_token(label: str) -> None:
    """One more token in the configuration of this process."""
    command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN]
    subprocess.run(command, check=True, capture_output=True)
