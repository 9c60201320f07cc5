"""``scripts/corpus [FOLDER]``: write the corpus anew, here or elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.corpus.cases import FOLDER
from tests.corpus.making.writing import write

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    print(f"{write(folder)} cases in {folder}")
