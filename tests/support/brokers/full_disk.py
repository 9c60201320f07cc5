"""A PostgreSQL whose disk can be full (full_disk.c)."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.brokers import postgres


class FullDisk:
    """The disk under the tables of a cluster: while it is ``full``, none of them is written to, for want of space."""

    def __init__(self, cluster: postgres.Cluster, when: Path) -> None:
        self.cluster, self._when = cluster, when

    def set(self, is_full: bool) -> None:
        """Fill it, or make room."""
        (self._when.touch if is_full else self._when.unlink)()


@contextmanager
def limited_cluster(options: Sequence[str] = ()) -> Iterator[FullDisk]:
    """A running cluster of one's own, on such a disk."""
    with tempfile.TemporaryDirectory(prefix="full-disk-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        library, when = folder / "full_disk.so", folder / "is-full"
        command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run([*command, "-o", str(library), str(Path(__file__).with_suffix(".c")), "-ldl"], check=True)
        library.chmod(0o755)
        environment = {"LD_PRELOAD": str(library), "FULL_WHEN": str(when)}
        with postgres.cluster(options, environment=environment) as cluster:
            yield FullDisk(cluster, when)
