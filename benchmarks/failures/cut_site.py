"""A gateway with pages, figures and both feeds, and whoever looks at them: what happens when meters are cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.failures.cut_channels import Channel, Figures, Json, Page, Shown, Sparkplug
from benchmarks.failures.cut_plant import LINE, METERS, CutPlant
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.dashboard.auth.setup import set_user
from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from tests.gateway.dashboard.pages_site import PASSWORDS, Browser
from tests.gateway.feeds.rig import listening
from tests.gateway.feeds.sparkplug_host import GROUP, host_at
from tests.support.gateways.sites import bus_table, make_site, meter_table, table
from tests.support.processes import free_port, mosquitto
from tests.system.demo_site import GatewayProcess, until

USER = "ines"
OF_THE_MACHINE = ("clock", "clock-step", "disk", "configuration-changed", "certificate-end", "key-end")
"""Alarms that the machine beneath may give cause for."""


@dataclass(slots=True)
class Place:
    """A running gateway and the four channels on which its alarms are to be seen."""

    loaded: Config
    gateway: GatewayProcess
    browser: Browser
    channels: dict[str, Channel]

    def shown(self, channel: str) -> list[Shown]:
        """What a channel shows, but for the alarms of the machine beneath."""
        return [alarm for alarm in self.channels[channel].shown() if alarm.code not in OF_THE_MACHINE]

    def events(self) -> list[Event]:
        """The signed events of alarms, in order, but for those of the machine beneath."""
        store = Database(self.loaded.database, read_only=True)
        bodies = [parse_record(row.data).body for row in store.records.rows(1, 1 << 60) if row.kind == "event"]
        store.close()
        events = [body for body in bodies if isinstance(body, Event) and body.name.startswith("alarm")]
        return [event for event in events if event.fields["code"] not in OF_THE_MACHINE]

    def wait_for_all_meters(self) -> None:
        """Until every meter has given several readings."""
        until("readings of every meter", lambda: min(self._readings().values()) >= 3)

    def newest_ms(self, meter: str) -> int:
        """The time of the newest reading of a meter."""
        store = Database(self.loaded.database, read_only=True)
        ((newest,),) = store.all("SELECT max(time_ms) FROM records WHERE kind = 'reading' AND meter = ?", meter)
        store.close()
        return int(newest)

    def _readings(self) -> dict[str, int]:
        store = Database(self.loaded.database, read_only=True)
        found = dict(store.all("SELECT meter, count(*) FROM records WHERE kind = 'reading' GROUP BY meter"))
        store.close()
        return {meter: found.get(meter, 0) for meter in self.loaded.meters}


def line_site(folder: Path, plant: CutPlant) -> Config:
    """A gateway that reads the plant's line, each meter once a second, by the profiles of the catalog."""
    meters = [meter_table(name, profile, address, "1s") for name, (profile, address) in METERS.items()]
    place = {"port": str(plant.line), "baudrate": 9600, "stopbits": 1, "answer_life": "0.5s"}
    return make_site(folder, bus_table(LINE, "modbus-rtu", meters, **place))


@contextmanager
def watched(folder: Path, made: Callable[[], Config]) -> Iterator[Place]:
    """A site's gateway with a broker, a browser whose user is logged in, and a host for each feed."""
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder / "broker"))
        loaded, port = made(), free_port()
        feeds = table("[feed]", name="scada", type="json", url=broker.url)
        feeds += table("[feed]", name="host", type="sparkplug", url=broker.url, group=GROUP)
        loaded.path.write_text(loaded.path.read_text() + feeds + table("web", listen=f"127.0.0.1:{port}"))
        loaded = load_config(loaded.path)
        set_user(loaded, USER, "installer", PASSWORDS[USER])
        heard, host = stack.enter_context(listening(broker.url)), stack.enter_context(host_at(broker))
        gateway = GatewayProcess(loaded, ready="pages at")
        stack.callback(gateway.close)
        gateway.start()
        browser = Browser(port)
        assert browser.login(USER).status == 303
        page = stack.enter_context(Page(browser))
        channels: dict[str, Channel] = {
            "page": page,
            "json": Json(heard),
            "sparkplug": Sparkplug(host),
            "metrics": Figures(port),
        }
        place = Place(loaded, gateway, browser, channels)
        place.wait_for_all_meters()
        yield place
        assert gateway.stop() == 0
