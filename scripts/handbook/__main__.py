"""`scripts/docs [FOLDER]`: the documentation as a site, in build/docs unless another folder is given."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from scripts.handbook import pages

ROOT = Path(__file__).parents[2]


def main(target: Path) -> int:
    """Put the pages together and render them strictly. Returns the exit code."""
    from sphinx.cmd.build import build_main

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        pages.put_together(ROOT / "docs", source)
        options = ["-b", "html", "-W", "--keep-going", "-q", "-c", str(Path(__file__).parent), "-d", f"{source}/.trees"]
        failed = build_main([*options, str(source), str(target)])
    if not failed:
        print(f"wrote {target / 'index.html'}")
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "docs"))
