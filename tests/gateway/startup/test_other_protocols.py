"""Line plans of DL/T 645 meters and HJ 212 stations, and what `check` shows and refuses of them."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from gateway.cli.terminal.plan_view import print_plan
from gateway.config.load import load_config
from gateway.messages.message import Message
from gateway.startup.line_plan import LinePlan, line_plans
from gateway.startup.line_specs import line_specs
from tests.gateway.config.refusals import refused
from tests.support.gateways.pushed_profiles import write_profiles

METER = """
  [[bus.meter]]
  name = "grid-main"
  profile = "dlt645.toml"
  address = "000000012345"
  every = "{every}"
"""
GRID = '[[bus]]\nname = "grid"\ntype = "dlt645"\nport = "tty"\n'
STATIONS = """
[[bus]]
name = "cems"
type = "hj212"
listen = "127.0.0.1:5212"
  [[bus.meter]]
  name = "stack"
  profile = "hj212.toml"
  address = "A1"
  every = "30s"
"""
AGAIN = STATIONS[STATIONS.index("  [[bus.meter]]") :].replace('"stack"', '"again"')


def written(folder: Path, *buses: str) -> Path:
    write_profiles(folder)
    path = folder / "gateway.toml"
    path.write_text('[gateway]\nid = "g"\n' + "".join(buses))
    return path


def plans(folder: Path, *buses: str) -> list[LinePlan]:
    return line_plans(line_specs(load_config(written(folder, *buses))))


def shown(plan: LinePlan) -> str:
    out = io.StringIO()
    print_plan(Console(file=out, width=200), plan)
    return out.getvalue()


def test_the_plan_of_a_645_line_names_identifiers_and_its_profiles_settings(tmp_path: Path) -> None:
    (plan,) = plans(tmp_path, GRID + METER.format(every="10s"))
    assert plan.problems == ()
    assert plan.wire == f"{tmp_path}/tty, 2400 baud 8E1"
    text = shown(plan)
    assert "000000012345" in text
    assert "00010000" in text
    assert "register" not in text
    assert "function" not in text


def test_a_645_identifier_asked_too_soon_is_refused_with_the_period_that_would_do(tmp_path: Path) -> None:
    """The answer life of 300 ms and the time-out of 500 ms: 0.8 s."""
    (plan,) = plans(tmp_path, "baudrate = 19200\n".join([GRID, METER.format(every="500ms")]))
    (problem,) = plan.problems
    assert problem.key.split(", ") == ["bus 'grid'", "meter 'grid-main'", "every"]
    assert problem.message.code == "budget-identifier-again"
    assert (problem.message.facts["timeout_s"], problem.message.facts["life_s"]) == ("0.5", "0.3")
    assert 'every = "0.8s"' in problem.way_out
    assert plans(tmp_path, "baudrate = 19200\n".join([GRID, METER.format(every="800ms")]))[0].problems == ()


def test_the_plan_of_a_listener_says_what_is_sent_and_costs_nothing(tmp_path: Path) -> None:
    (plan,) = plans(tmp_path, STATIONS)
    assert (plan.share, plan.problems) == (None, ())
    assert plan.wire == "127.0.0.1:5212 (hj212, listening to 127.0.0.0/8, ::1/128)"
    text = shown(plan)
    assert "CN 2011, sent by itself" in text
    assert "shapes" in text
    assert "of 0" not in text


def test_one_kind_of_data_of_a_station_is_one_meter(tmp_path: Path) -> None:
    words = ("bus 'cems', meter 'again', profile", "stack already takes this kind of data (CN 2011) of station A1")
    refused(written(tmp_path, STATIONS, AGAIN), *words)
    hour = (tmp_path / "hj212.toml").read_text().replace('cn = "2011"', 'cn = "2061"')
    path = written(tmp_path, STATIONS, AGAIN.replace("hj212.toml", "hour.toml"))
    (tmp_path / "hour.toml").write_text(hour)
    (plan,) = line_plans(line_specs(load_config(path)))
    assert [read.reads for read in plan.reads] == [("CN 2011, sent by itself",), ("CN 2061, sent by itself",)]
    assert "again" in shown(plan)


PORT = """
[[bus]]
name = "port"
type = "p1"
port = "tty"
  [[bus.meter]]
  name = "grid"
  profile = "dsmr-4-electricity"
  address = "0-0"
  every = "{every}"
"""


def test_a_p1_port_polled_more_often_than_it_is_sure_to_send_is_refused(tmp_path: Path) -> None:
    (plan,) = plans(tmp_path, PORT.format(every="19s"))
    (problem,) = plan.problems
    assert problem.key.split(", ") == ["bus 'port'", "meter 'grid'", "every"]
    assert problem.message == Message("plan-interval", profile="dsmr-4-electricity", least_s="20")
    assert 'every = "20s"' in problem.way_out
    (plan,) = plans(tmp_path, PORT.format(every="20s"))
    assert plan.problems == ()
    assert plan.wire == f"{tmp_path}/tty, 115200 baud 8N1"
    assert "P1 0-0, sent by itself" in shown(plan)
