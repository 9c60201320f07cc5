"""``scripts/bench NAME [--json] [--OPTION VALUE …]``: run one benchmark and print its figures.

The options of a benchmark are the parameters of its ``run``, with dashes for underscores.
"""

from __future__ import annotations

import atexit
import importlib
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

Run = Callable[..., dict[str, object]]
ROOMS: dict[str, tuple[str, ...]] = {
    "benchmarks": ("audit",),
    "benchmarks.carbon": ("accounting", "claims"),
    "benchmarks.commissioning": ("cabinet", "catalog", "identify", "scan"),
    "benchmarks.failures": ("cut", "notify"),
    "benchmarks.fleet": ("fleet",),
    "benchmarks.installed": ("package",),
    "benchmarks.ledgers": ("hsm", "ledger"),
    "benchmarks.rates": (
        "api",
        "charts",
        "commands",
        "feed",
        "fieldbus-line",
        "fieldbus-tcp",
        "merkle",
        "pages",
        "pipeline",
        "verify",
        "writer",
    ),
    "benchmarks.simulator": ("sim",),
    "benchmarks.streams": ("hj212",),
    "benchmarks.truth": ("dlt645-truth", "fieldbus-truth", "passive"),
    "tests.campaigns.dishonest": ("dishonest",),
    "tests.campaigns.endurance": ("books", "hsm-away", "outage", "soak"),
    "tests.campaigns.failures": ("crash", "torn-disk"),
    "tests.campaigns.fleet": ("fleet-kills",),
    "tests.campaigns.honest": ("honest-histories",),
    "tests.campaigns.ledgers": ("ledger-faults", "ledger-hostile", "ledger-kills"),
    "tests.campaigns.simulator": ("compare", "plant", "sim-kills"),
    "tests.campaigns.streams": ("parsers",),
}
"""Package → what it measures or proves; its other modules are what these are made of."""

MODULES = {name: f"{room}.{name.replace('-', '_')}" for room, names in ROOMS.items() for name in names}
NAMES = sorted(MODULES)
CAMPAIGNS = [name for name in NAMES if MODULES[name].startswith("tests.campaigns.")]
"""Those that prove rather than measure; ``scripts/campaign`` (tests/campaigns) runs them, too."""

ENDS = signal.SIGINT, signal.SIGTERM


class WrongUse(Exception):
    """The command line asks for what there is not."""


def main(arguments: list[str], names: Sequence[str] = NAMES, command: str = "scripts/bench") -> int:
    """Run one of ``names``; ``command`` is what was typed."""
    try:
        name, given, as_json = _parse(arguments, names)
        run = _benchmark(name)
        options = _options(run, given)
    except WrongUse as error:
        print(f"{error}\nusage: {command} NAME [--json] [--OPTION VALUE …]", file=sys.stderr)
        return 2
    figures = run(**options)
    if as_json:
        print(json.dumps(figures))
    else:
        width = max(map(len, figures))
        for key, value in figures.items():
            print(f"{key:<{width}}  {value:,.3f}" if isinstance(value, float) else f"{key:<{width}}  {value}")
    return 0


def _parse(arguments: list[str], known: Sequence[str]) -> tuple[str, dict[str, str], bool]:
    """The benchmark's name, its options as given, and whether figures go out as JSON."""
    names: list[str] = []
    given: dict[str, str] = {}
    as_json, words = False, iter(arguments)
    for word in words:
        if word == "--json":
            as_json = True
        elif word.startswith("--"):
            option, equals, value = word[2:].partition("=")
            given[option] = value if equals else next(words, "")
        else:
            names.append(word)
    if len(names) != 1 or names[0] not in known:
        raise WrongUse(f"{'benchmarks' if known is NAMES else 'campaigns'}: {', '.join(known)}")
    return names[0], given, as_json


def _benchmark(name: str) -> Run:
    run: Run = importlib.import_module(MODULES[name]).run
    return run


def _options(run: Run, given: Mapping[str, str]) -> dict[str, Any]:
    """The given options as arguments of ``run``, each of the type that its parameter has."""
    known = {name.replace("_", "-"): parameter for name, parameter in inspect.signature(run).parameters.items()}
    kinds, options = get_type_hints(run), {}
    for option, value in given.items():
        if option not in known:
            of = ", ".join(f"--{name} {parameter.default}" for name, parameter in known.items())
            raise WrongUse(f"there is no option --{option}; options and their defaults: {of or 'none'}")
        name = known[option].name
        options[name] = _value(f"--{option}", value, kinds[name])
    return options


def _value(option: str, text: str, kind: Any) -> Any:
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise WrongUse(f"{option} {text}: give one of {', '.join(get_args(kind))}")
        return text
    try:
        return kind(text)
    except ValueError:
        raise WrongUse(f"{option} {text}: give a number") from None


def _ended(number: int, _: FrameType | None) -> NoReturn:
    """Leave every ``with``, which end what a benchmark has started."""
    for each in ENDS:
        signal.signal(each, signal.SIG_IGN)
    atexit.register(_end_children)
    sys.exit(128 + number)


def _end_children() -> None:
    """End what was just being started when the signal came, so that no ``with`` knew of it."""
    for task in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, task.read_text().split()):
            with suppress(OSError):  # it has ended, and was waited for
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def run_command(names: Sequence[str] = NAMES, command: str = "scripts/bench") -> NoReturn:
    """Run what the command line of this process asks for; a signal ends all that it has started."""
    for each in ENDS:
        signal.signal(each, _ended)
    sys.exit(main(sys.argv[1:], names, command))


if __name__ == "__main__":
    run_command()
