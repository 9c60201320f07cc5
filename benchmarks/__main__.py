"""``scripts/bench NAME [--json]``: run one benchmark and print its figures."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

NAMES = sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py"))


def main(arguments: list[str]) -> int:
    names = [a for a in arguments if not a.startswith("--")]
    options = [a for a in arguments if a.startswith("--") and a != "--json"]
    if len(names) != 1 or names[0] not in NAMES or options:
        print(f"usage: scripts/bench NAME [--json]\nbenchmarks: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    figures = importlib.import_module(f"benchmarks.{names[0]}").run()
    if "--json" in arguments:
        print(json.dumps(figures))
    else:
        width = max(map(len, figures))
        for key, value in figures.items():
            print(f"{key:<{width}}  {value:,.3f}" if isinstance(value, float) else f"{key:<{width}}  {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
