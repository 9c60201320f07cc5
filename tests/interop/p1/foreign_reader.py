"""The dsmr-parser library as a judge: ``foreign_reader.py EDITION FILE`` prints what it reads as one JSON object, or
the name of its refusal."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dsmr_parser import telegram_specifications  # type: ignore[import-not-found]
from dsmr_parser.exceptions import InvalidChecksumError, ParseError  # type: ignore[import-not-found]
from dsmr_parser.parsers import TelegramParser  # type: ignore[import-not-found]

SPECIFICATIONS = {"2": "V2_2", "4": "V4", "5": "V5", "belgium": "BELGIUM_FLUVIUS"}


def main() -> None:
    edition, path = sys.argv[1:]
    specification = getattr(telegram_specifications, SPECIFICATIONS[edition])
    try:
        telegram = TelegramParser(specification).parse(Path(path).read_bytes().decode(), throw_ex=True)
    except (InvalidChecksumError, ParseError) as refusal:
        print(json.dumps({"refused": type(refusal).__name__}))
        return
    found = {}
    for name, held in telegram:
        for number, one in enumerate(held if isinstance(held, list) else [held]):
            if hasattr(one, "unit") and not hasattr(one, "buffer"):
                found[f"{name}/{number}" if number else name] = [str(one.value), one.unit]
                if hasattr(one, "datetime"):
                    found[f"{name}/at"] = [one.datetime.timestamp(), None]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
