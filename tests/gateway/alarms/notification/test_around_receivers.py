"""What else knows of receivers: the test command, `check`, the doctor, the backup, a reload, and the alarm of a CA."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.agent.background_tasks import wanted
from gateway.agent.config_diff import difference
from gateway.alarms.checks import certificate_files
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.doctor.check import CheckContext
from gateway.doctor.receivers import receivers
from gateway.runtime.loop_lag import LoopHealth
from gateway.site_backup.contents import contents
from tests.gateway.alarms.notification.rig import Hook, hook, mail_server
from tests.support.commands import gateway_command
from tests.support.gateways.contexts import InForce, context
from tests.support.gateways.desk import Desk
from tests.support.gateways.sites import table
from tests.support.processes import free_port
from tests.support.samples import site

SECRET = "the-key-of-signatures"


def notified(folder: Path, **keys: Any) -> Config:
    """A site with one receiver and the key of its signatures."""
    loaded = site(folder)
    loaded.path.write_text(loaded.path.read_text() + "\n" + table("[notify]", name="duty", **keys))
    file = folder / "signatures"
    file.write_text(SECRET)
    file.chmod(0o600)
    return load_config(loaded.path)


def of_hook(folder: Path, server: Hook, **keys: Any) -> Config:
    return notified(folder, type="webhook", url=server.url, secret_file="signatures", **keys)


def test_the_test_command_shows_what_went_and_what_was_answered(tmp_path: Path) -> None:
    with hook() as server:
        loaded = of_hook(tmp_path, server, language="zh")
        done = gateway_command("notify", "test", loaded.path, "duty").ended()
        (posted,) = server.posted
        assert (posted.json["type"], posted.json["alarms"]) == ("test", [])
        assert [text in done.out for text in (posted.json["id"], posted.json["text"], "HTTP 200 taken")] == [True] * 3
        server.always = 500
        failed = gateway_command("notify", "test", loaded.path, "duty", "--json").ended(1)
        assert (failed.facts["delivered"], "status 500" in failed.facts["answer"]) == (False, True)
        refused = gateway_command("notify", "test", loaded.path, "duty").ended(1)
        assert "s3cr3t" not in done.output + failed.output + refused.output
        assert SECRET not in done.output + failed.output + refused.output
    unknown = gateway_command("notify", "test", loaded.path, "nobody").ended(2)
    assert "duty" in unknown.err
    (tmp_path / "signatures").chmod(0o644)
    assert "secret_file" in gateway_command("notify", "test", loaded.path, "duty").ended(2).err


def test_the_doctor_looks_at_files_and_servers_and_sends_nothing(tmp_path: Path) -> None:
    def found(loaded: Config) -> list[tuple[str, str]]:
        return [(one.result, one.message.code) for one in receivers(CheckContext.of(loaded, 0, pid=None))]

    with hook() as server, mail_server(tmp_path / "mail", login="duty:word") as mails:
        loaded = of_hook(tmp_path / "a", server)
        assert found(loaded) == [("ok", "notify-up")]
        people = {"from": "a@example.org", "to": "b@example.org", "user": "duty", "password_file": "signatures"}
        mailed = notified(tmp_path / "b", type="email", url=f"smtp://127.0.0.1:{mails.port}", **people)
        assert found(mailed) == [("warn", "notify-down")]
        (tmp_path / "b" / "signatures").write_text("word")
        assert found(mailed) == [("ok", "notify-up")]
        assert (server.posted, mails.mails) == ([], [])
    away = notified(tmp_path / "c", type="ntfy", url=f"http://127.0.0.1:{free_port()}/topic")
    assert found(away) == [("warn", "notify-down")]
    (tmp_path / "a" / "signatures").unlink()
    assert found(loaded) == [("bad", "notify-misconfigured")]


def test_a_backup_has_its_files_and_the_secret_ones_only_encrypted(tmp_path: Path) -> None:
    with hook() as server:
        loaded = of_hook(tmp_path, server)
    parts = contents(loaded).parts
    assert parts["signatures"].secret


def test_the_certificates_of_its_ca_are_looked_after(tmp_path: Path) -> None:
    loaded = notified(tmp_path, type="webhook", url="https://example.org/hook", ca="ca.pem")
    assert ("notify duty", "ca", tmp_path / "ca.pem") in [*certificate_files(loaded)]


def test_a_difference_of_configurations_shows_no_path_and_that_it_is_another(tmp_path: Path) -> None:
    """It goes into the log."""
    of = {"type": "webhook"}
    before = notified(tmp_path / "a", url="https://example.org/hook/s3cr3t", **of)
    after = notified(tmp_path / "b", url="https://example.org/hook/an0ther", **of)
    lines = [str(line) for line in difference(before, after, {}, ()).changes if "url" in str(line)]
    assert [line[:40] for line in lines] == [f"{sign} notify duty, url = https://example.org/…"[:40] for sign in "-+"]
    assert not any(secret in "".join(lines) for secret in ("s3cr3t", "an0ther"))


@pytest.mark.parametrize(("key", "value"), [("after", "5m"), ("unacknowledged", True), ("to", None)])
def test_a_reload_makes_a_receiver_anew_when_it_is_another_and_says_what_changes(
    tmp_path: Path, key: str, value: object
) -> None:
    people: dict[str, Any] = {"type": "email", "url": "smtps://example.org", "from": "a@example.org"}
    before = notified(tmp_path / "a", **people, to=["b@example.org"])
    changed = {"to": ["b@example.org", "c@example.org"], **({} if value is None else {key: value})}
    after = notified(tmp_path / "a2", **people, **changed)
    change = difference(before, after, {}, ())
    assert (change.nothing, [str(line)[:14] for line in change.changes if "notify" in str(line)][-1]) == (
        False, "+ notify duty,",
    )  # fmt: skip
    desk = Desk(tmp_path / "desk", {"bus-1": ["meter-a"]})

    async def settings(loaded: Config) -> object:
        parts = context(InForce(loaded), desk.clock, desk.recorder, desk.live, desk.board)
        return next(want.settings for want in wanted(parts, LoopHealth()) if want.name == "notify duty")

    assert asyncio.run(settings(before)) == asyncio.run(settings(before))
    assert asyncio.run(settings(before)) != asyncio.run(settings(after))
    desk.stop()
