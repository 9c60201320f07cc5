"""A running simulator under control: faults armed and cleared over its socket, by the client and by the commands."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from firmware_sim.cli.app import main
from firmware_sim.control.client import SOCKET, Client, ControlError, short
from firmware_sim.errors import WireError
from tests.firmware_sim.sim_bench import Bench, Serial, scenario, simulating

READ_CO2 = "F0 03 0000 0002"
READ_METER = "01 04 0000 0002"


class Running(NamedTuple):
    bench: Bench
    client: Client
    line: Serial

    def answers(self, question: str = READ_CO2) -> bool:
        """Whether one request is answered."""
        self.line.send(question)
        return self.line.receive(9, 0.3) != b""


def sim(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Deeper than an address of a socket can be."""
    deep = tmp_path_factory.mktemp("plant") / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    return deep


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    path = scenario(folder, faults='[[fault]]\nmeter = "pv-inverter"\nkind = "late"\nfrom = 9000')
    with (
        simulating(path, control=folder / SOCKET) as simulator,
        Serial(folder / "rs485-1") as line,
    ):
        yield Running(Bench(simulator, folder / "answers.jsonl"), Client(folder / SOCKET), line)
    assert not (folder / SOCKET).exists()


def test_the_next_request_meets_what_is_armed_and_cleared_nothing_is_left(running: Running) -> None:
    for _ in range(50):
        name = running.client.inject("stack-co2", "exception", {"code": 4})
        running.line.send(READ_CO2)
        assert running.line.receive(5)[1:3] == b"\x83\x04"
        assert running.client.clear(name) == [name]
        running.line.send(READ_CO2)
        assert running.line.receive(9)[1:3] == b"\x03\x04"
    assert [fault["id"] for fault in running.client.status()["faults"]] == ["f1"]
    lines = [line for line in running.bench.log() if "inject" in line or "clear" in line][-2:]
    assert {key: lines[0]["inject"][key] for key in ("id", "target", "kind", "keys", "to_ms", "count")} == {
        "id": name, "target": "stack-co2", "kind": "exception", "keys": {"code": 4}, "to_ms": None, "count": None,
    }  # fmt: skip
    assert lines[1]["clear"] == [name]


def test_a_bus_a_count_and_what_is_held_back(running: Running) -> None:
    client = running.client
    name = client.inject("rs485-1", "lost", count=2)
    assert not running.answers(READ_METER)
    assert not running.answers(READ_CO2)
    assert running.answers(READ_METER)
    (fault,) = [each for each in client.status()["faults"] if each["id"] == name]
    assert (fault["meters"], fault["struck"], fault["state"]) == (["export-main", "stack-co2"], 2, "over")
    late = client.inject("stack-co2", "late", {"delay_ms": 400})
    running.line.send(READ_CO2)
    assert running.line.receive(1, 0.1) == b""
    assert client.clear("rs485-1") == [name, late]
    assert running.line.receive(1, 0.8) == b""  # what it held back is not sent
    on_bus = client.inject("rs485-1", "dead", after=3600, seconds=60)
    answer = client.ask({"do": "clear", "target": "stack-co2"})
    assert answer == {"cleared": [], "goes_on": [on_bus]}
    assert [each["state"] for each in client.status()["faults"]] == ["waits", "waits"]
    assert client.clear("all") == ["f1", on_bus]
    assert client.status()["faults"] == []


def test_the_commands_say_the_same(running: Running, folder: Path) -> None:
    running.client.clear("all")
    injected = sim("inject", "stack-co2", "late", "delay_ms=0.5", "every=2", "--count", 9, "--dir", folder)
    assert (injected.exit_code, injected.output[:1]) == (0, "i")
    name = injected.output.strip()
    status = sim("status", "--json", "--control", folder / SOCKET)
    state: dict[str, Any] = json.loads(status.output)
    (fault,) = state["faults"]
    assert (fault["id"], fault["keys"], fault["every"], fault["count"]) == (name, {"delay_ms": 0.5}, 2, 9)
    (bus, _) = state["buses"]
    assert bus["port"] == str(folder / "rs485-1")
    before = {meter["name"]: (meter["requests"], meter["answers"]) for meter in bus["meters"]}
    assert running.answers()
    after = {meter["name"]: meter for meter in running.client.status()["buses"][0]["meters"]}
    assert after["stack-co2"]["requests"] == before["stack-co2"][0] + 1
    assert after["stack-co2"]["answers"] == before["stack-co2"][1] + 1
    assert f"{name} stack-co2 late delay_ms=0.5: on, struck 0 of 9\n" in sim("status", "--dir", folder).output
    assert sim("clear", "stack-co2", "--dir", folder).output == f"{name}\n"


@pytest.mark.parametrize(
    ("words", "key", "fix"),
    [
        (["inject", "stack-co", "late"], "target: ", "'stack-co2'"),
        (["inject", "stack-co2", "laet"], "kind: ", "'late'"),
        (["inject", "stack-co2", "late", "delay=5"], "delay: ", "'delay_ms'"),
        (["inject", "stack-co2", "late", "delay_ms=soon"], "delay_ms: ", "correct it"),
        (["inject", "stack-co2", "exception", "code=256"], "code: ", "correct it"),
        (["inject", "stack-co2", "late", "from=5"], "from: ", "--after"),
        (["inject", "stack-co2", "late", "--after", "-1"], "after: ", "correct it"),
        (["inject", "stack-co2", "late", "--for", "0"], "for: ", "correct it"),
        (["inject", "stack-co2", "late", "--share", "nan"], "share: ", "correct it"),
        (["inject", "stack-co2", "late", "--count", "0"], "count: ", "correct it"),
        (["inject", "inverter", "lone-byte"], "kind: ", "serial line"),
        (["clear", "i999999"], "target: ", "known"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    running: Running, folder: Path, words: list[str], key: str, fix: str
) -> None:
    before = running.client.status()["faults"]
    result = sim(*words, "--dir", folder)
    assert result.exit_code == 2
    assert f"meterseal-sim: {key}" in result.output
    assert fix in result.output
    assert running.client.status()["faults"] == before


def test_lines_that_are_no_requests_are_refused_on_a_connection_that_goes_on(running: Running) -> None:
    bad = [b"", b"[]", b"{", b"[" * 90_000, b"\xff", b'{"do": "injekt"}', b'{"do": "clear"}', b'{"do": ["clear"]}']
    with short(running.client.path) as address, socket.socket(socket.AF_UNIX) as link:
        link.connect(address)
        with link.makefile("rb") as lines:
            for line in bad:
                link.sendall(line + b"\n")
                assert set(json.loads(lines.readline())["error"]) == {"problem", "fix"}
            link.sendall(b'{"do": "status"}\n')
            assert json.loads(lines.readline())["pid"] == os.getpid()


def test_the_socket_is_of_one_user_and_of_one_run(running: Running, folder: Path) -> None:
    assert stat.S_IMODE((folder / SOCKET).stat().st_mode) == 0o600
    other = folder / "other"
    other.mkdir()
    with pytest.raises(WireError) as refused, simulating(scenario(other), control=folder / SOCKET):
        pass
    assert str(os.getpid()) in refused.value.problem
    assert "--control" in refused.value.fix
    assert not (other / "rs485-1").is_symlink()
    assert running.client.status()["pid"] == os.getpid()
    (other / SOCKET).write_text("mine")
    with pytest.raises(WireError), simulating(scenario(other), control=other / SOCKET):
        pass
    assert (other / SOCKET).read_text() == "mine"


def test_a_socket_that_a_killed_simulator_left_is_taken_over_by_one_of_two(tmp_path: Path) -> None:
    with short(tmp_path / SOCKET) as address, socket.socket(socket.AF_UNIX) as left:
        left.bind(address)
    with pytest.raises(ControlError):
        Client(tmp_path / SOCKET).status()
    folders = [tmp_path / "a", tmp_path / "b"]
    outcomes: list[str] = []
    together, done = threading.Barrier(2), threading.Barrier(2)

    def start(folder: Path) -> None:
        folder.mkdir()
        path = scenario(folder)
        together.wait()
        try:
            with simulating(path, control=tmp_path / SOCKET):
                outcomes.append("runs")
                done.wait()
                assert Client(tmp_path / SOCKET).status()["scenario"] == str(path)
        except WireError:
            outcomes.append("refused")
            done.wait()

    threads = [threading.Thread(target=start, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "runs"]
    assert not (tmp_path / SOCKET).exists()


@pytest.mark.parametrize("words", [["inject", "a", "dead"], ["clear", "all"], ["status"]])
def test_when_nothing_runs_the_commands_say_so(tmp_path: Path, words: list[str]) -> None:
    for place in (["--dir", tmp_path], ["--control", tmp_path / "no" / "socket"]):
        result = sim(*words, *place)
        assert result.exit_code == 2
        assert str(place[1]) in result.output
        assert result.output.count("fix: ") == 1


def test_a_run_that_needs_no_folder_goes_without_a_socket(tmp_path: Path) -> None:
    (plant := tmp_path / "plant.toml").write_text(
        '[[bus]]\nname = "b"\ntype = "modbus-tcp"\nport = 0\n'
        '[[bus.meter]]\nname = "m"\nprofile = "eastron-sdm630"\naddress = 1\n'
    )
    missing = tmp_path / "missing"
    ran = sim("run", plant, "--dir", missing, "--for", "0")
    assert ran.exit_code == 0
    assert f"{missing}: " in ran.output
    assert sim("run", plant, "--control", missing / "s.sock", "--for", "0").exit_code == 2


def test_the_client_and_its_commands_import_no_library() -> None:
    code = "import sys, firmware_sim.cli.app, firmware_sim.cli.status, firmware_sim.control.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tops = {name.partition(".")[0] for name in done.stdout.split()}
    assert tops & {"pydantic", "asyncio", "gateway", "serial", "cryptography"} == set()
    ours = {name for name in done.stdout.split() if name.startswith("firmware_sim.")}
    rooms = {name.split(".")[1] for name in ours}
    assert rooms == {"cli", "control", "errors"}
