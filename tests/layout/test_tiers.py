"""The tiers of the tests: what is quick, what a test of the quick tier must not do, and what a path needs installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.tiers.needs import NEEDS, calls, files_below
from tests.tiers.quick import is_quick
from tests.tiers.reach import ROOT

FORBIDDEN = {
    "process": "subprocess.run(['true'])",
    "fork": "os.fork() or os._exit(0)",
    "pty": "os.openpty()",
    "far": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))",
    "anywhere": "socket.socket().bind(('', 0))",
    "pause": "time.sleep(0.05)",
    "loop": "asyncio.run(asyncio.sleep(0.05))",
    "swallowed": "contextlib.suppress(Exception)(lambda: subprocess.run(['true']))()",
}
ALLOWED = {
    "near": "socket.create_server(('127.0.0.1', 0))",
    "short": "time.sleep(0.01) or asyncio.run(asyncio.sleep(0))",
    "thread": "threading.Thread(target=time.sleep, args=(0.06,)).start()",
}


def test_a_test_of_the_quick_tier_fails_that_reaches_out_or_waits(tmp_path: Path) -> None:
    """In a file whose text names nothing of it, as code of the product would do it; however it is caught."""
    hooks = (
        "pytest_addoption, pytest_ignore_collect, pytest_runtest_call, pytest_runtest_setup, pytest_runtest_teardown"
    )
    (tmp_path / "conftest.py").write_text(f"from tests.tiers.quick import {hooks}\n")
    (tmp_path / "product.py").write_text(
        "import asyncio, contextlib, os, socket, subprocess, threading, time\nDO = lambda code: eval(code, globals())\n"
    )
    cases = (
        "".join(
            f"def test_{name}() -> None:\n    assert product.DO({code!r}) is not product\n"
            for name, code in (FORBIDDEN | ALLOWED).items()
        )
        .replace("sleep", "sl' 'eep")
        .replace("os.", "o' 's.")
    )
    (tmp_path / "test_cases.py").write_text(f"import product\n{cases}")
    command = [sys.executable, "-m", "pytest", "-q", "--tier", "quick", "-p", "no:cacheprovider", "-o", "addopts="]
    paths = ["--rootdir", str(tmp_path), f"--junitxml={tmp_path}/out.xml", str(tmp_path)]
    run = subprocess.run([*command, *paths], cwd=ROOT, text=True, capture_output=True)
    found = {
        case.attrib["name"].removeprefix("test_"): case.find("failure")
        for case in ElementTree.parse(tmp_path / "out.xml").iter("testcase")
    }
    assert {name for name, failure in found.items() if failure is not None} == FORBIDDEN.keys(), run.stdout
    assert found.keys() == FORBIDDEN.keys() | ALLOWED.keys()


@pytest.mark.parametrize(
    ("text", "quick"),
    [
        ("import subprocess\n", False),
        ("from tests.support.processes import Mosquitto\n", False),
        ("from tests.support import processes\n", False),
        ("# not quick: 3 s of CPU\nimport pytest\n", False),
        ("import time\n\ntime.sleep(0.05)\n", False),
        ("import time\n\ntime.sleep(0.04)\n", True),
        ("from tests.support.samples import site\n", True),
    ],
)
def test_a_file_is_quick_by_what_it_names(tmp_path: Path, text: str, quick: bool) -> None:
    path = tmp_path / "test_one.py"
    path.write_text(text)
    assert is_quick(path) is quick


def test_the_quick_tier_does_not_evaporate() -> None:
    """One import of a process in what many tests use takes them all out; 5,000 tests are to stay."""
    assert sum(map(is_quick, files_below(["tests"]))) >= 200


def test_a_path_needs_only_what_its_files_name() -> None:
    assert calls(files_below([str(ROOT / "tests/gateway/devices")])) == []
    feeds = calls(files_below(["-k", "tests", str(ROOT / "tests/gateway/feeds")]))
    assert "need_system mosquitto=mosquitto" in feeds
    assert "need_system chromium" not in " ".join(feeds)


def test_all_tests_together_need_all_that_there_is_to_install() -> None:
    """A word of ``NEEDS`` that no test names any more would leave its tests without what they need."""
    offered = set(re.findall(r"^(need_\w+)\(\)", (ROOT / "scripts/env.sh").read_text(), re.MULTILINE))
    needed = calls(files_below([]))
    assert needed == list(dict.fromkeys(line for call in NEEDS.values() for line in call.splitlines()))
    others = {"need_packages", "need_apart", "need_bench", "need_package_tools"}
    assert {call.split()[0] for call in needed} == offered - others
