"""A notification on its way to real servers: a webhook with faults, a mail server with and without TLS, ntfy."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.alarms.notification import http_posts
from gateway.alarms.notification import mail as mail_module
from gateway.alarms.notification.delivery import deliver
from gateway.alarms.notification.mail import mail_of
from gateway.alarms.notification.notification import Notification, in_order, notification_id
from gateway.alarms.notification.outcome import Delivered, NotDelivered
from gateway.config.notify import NotifyEntry
from gateway.messages.message import Message
from gateway.storage.alarm_tables import AlarmRow
from ledger_client import messages
from tests.gateway.alarms.notification.rig import hook, mail_server, ntfy
from tests.support.brokers.pki import Authority
from tests.support.processes import free_port

NOW_MS = 1_795_650_000_000
SECRET = "a-key-of-signatures"
SILENT = Message("alarm-of-meter", what=Message("feed-closed"), meter="export-main")
ROW = AlarmRow(12, "export-main", "comms-lost", "rs485-1", str(SILENT), NOW_MS - 9000, NOW_MS - 4000, message=SILENT)
BUS = AlarmRow(13, "gateway", "site-silent", "site", "text of before", NOW_MS - 9000, NOW_MS - 4000)


def notification(*rows: AlarmRow, **changes: Any) -> Notification:
    items = in_order([("raised" if row.active else "cleared", row) for row in rows])
    made = Notification("hydro-07", "duty", "en", ZoneInfo("Asia/Shanghai"), NOW_MS, items, "0f3c" * 8)
    return replace(made, **changes)


def entry(url: str, kind: str = "webhook", **more: Any) -> NotifyEntry:
    if kind == "email":
        more = {"from": "hydro@example.org", "to": ["ines@example.org", "jo@example.org"], **more}
    return NotifyEntry.model_validate({"name": "duty", "type": kind, "url": url, **more})


def secret(folder: Path, text: str = SECRET) -> str:
    path = folder / "secret"
    path.write_text(text + "\n")
    path.chmod(0o600)
    return "secret"


def not_delivered(to: NotifyEntry, folder: Path) -> NotDelivered:
    with pytest.raises(NotDelivered) as caught:
        deliver(to, folder, notification(ROW))
    assert "s3cr3t" not in str(caught.value)
    return caught.value


def codes(error: NotDelivered) -> list[str]:
    """The codes of its message, outermost first."""
    found, inner = [], error.sentence
    while isinstance(inner, messages.Message):
        found.append(inner.code)
        inner = inner.facts.get("what", "")  # type: ignore[assignment]
    return found


def test_a_webhook_gets_codes_facts_and_sentences_signed_over_their_bytes(tmp_path: Path) -> None:
    with hook() as server:
        receiver = entry(server.url, secret_file=secret(tmp_path), language="zh")
        sent = notification(ROW, BUS, language="zh")
        assert deliver(receiver, tmp_path, sent) == Delivered("HTTP 200", "taken")
        assert deliver(receiver, tmp_path, sent) == Delivered("HTTP 200", "taken")
    first, second = server.posted
    signature = hmac.new(SECRET.encode(), first.body, hashlib.sha256).hexdigest()
    assert first.headers["X-Meterseal-Signature"] == f"sha256={signature}"
    assert first.headers["Idempotency-Key"] == f'"{first.json["id"]}"'
    assert (first.body, first.headers["Content-Type"]) == (second.body, "application/json; charset=utf-8")
    site, meter = first.json["alarms"]
    assert (site["code"], site["text"], site["meter"], site["title"]) == (
        "site-silent", "text of before", None, "多条通信线路无应答",
    )  # fmt: skip
    assert (meter["message"], meter["facts"]["meter"], meter["change"]) == ("alarm-of-meter", "export-main", "raised")
    assert (meter["since"], first.json["type"]) == (ROW.since_ms, "alarms")
    assert site["title"] in first.json["title"]
    assert all(word in first.json["text"] for word in (meter["text"], meter["advice"], "+08:00"))


@pytest.mark.parametrize("fault", ["big", "drips"])
def test_of_a_webhooks_answer_the_status_counts_and_no_more_is_read_than_is_shown(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_posts, "TIMEOUT_S", 0.5)
    with hook() as server:
        server.always = fault
        assert len(deliver(entry(server.url), tmp_path, notification(ROW)).words) < 300
        assert len(server.posted) == 1


@pytest.mark.parametrize(
    ("fault", "refused", "found"),
    [
        (500, False, ["notify-status"]),
        (503, False, ["notify-status"]),
        (401, False, ["notify-status"]),
        (404, False, ["notify-status"]),
        (400, True, ["notify-status"]),
        (302, False, ["notify-redirect"]),
        ("hangs", False, ["at", "errno-timed-out"]),
        ("cut", False, ["at"]),
    ],
)
def test_what_a_webhook_does_not_take(
    tmp_path: Path, fault: int | str, refused: bool, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_posts, "TIMEOUT_S", 0.5)
    with hook() as server:
        server.always, server.headers = fault, {"Retry-After": "70", "Location": "http://127.0.0.1:1/"}
        error = not_delivered(entry(server.url), tmp_path)
        assert (error.refused, codes(error)[: len(found)]) == (refused, found)
        assert error.retry_after_s == (70 if isinstance(fault, int) else None)
        assert len(server.posted) == 1


def test_an_answer_that_repeats_the_address_gives_no_path_and_no_topic_away(tmp_path: Path) -> None:
    with hook() as server:
        server.always, server.body = 404, f"Cannot POST /hook/s3cr3t, no s3cr3t at {server.url}".encode()
        error = not_delivered(entry(server.url), tmp_path)
        assert "Cannot POST" in str(error)
    with ntfy(tmp_path) as phone:
        delivered = deliver(entry(f"{phone.url}/hard-to-guess", "ntfy"), tmp_path, notification(ROW))
        assert ("hard-to-guess" in repr(delivered), delivered.status) == (False, "HTTP 200")


def test_a_webhooks_certificate_is_verified_by_the_ca_that_is_given(tmp_path: Path) -> None:
    good, other = Authority(tmp_path / "good"), Authority(tmp_path / "other")
    pair, wrong = good.issue("server"), good.issue("wrong", host="elsewhere.example")
    with hook((pair.cert, pair.key)) as server:
        assert deliver(entry(server.url, ca=str(good.ca)), tmp_path, notification(ROW)).words == "taken"
        assert codes(not_delivered(entry(server.url, ca=str(other.ca)), tmp_path)) == ["at", "tls-ca-untrusted"]
    with hook((wrong.cert, wrong.key)) as server:
        assert codes(not_delivered(entry(server.url, ca=str(good.ca)), tmp_path)) == ["at", "tls-other-host"]
    assert codes(not_delivered(entry(f"http://127.0.0.1:{free_port()}/hook/s3cr3t"), tmp_path))[0] == "at"


def test_a_mail_is_sent_over_tls_with_login_and_the_notifications_id(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("server")
    tls = {"cert": str(pair.cert), "key": str(pair.key), "login": f"duty:{SECRET}"}
    more = {"ca": str(authority.ca), "user": "duty", "password_file": secret(tmp_path)}
    sent = notification(ROW, BUS, language="zh")
    for smtps, scheme in ((False, "smtp"), (True, "smtps")):
        with mail_server(tmp_path / scheme, smtps=smtps, **tls) as server:
            receiver = entry(f"{scheme}://localhost:{server.port}", "email", language="zh", **more)
            assert deliver(receiver, tmp_path, sent) == Delivered("250 queued as 17")
            (mail,), (message,) = server.mails, server.messages()
            assert (mail["tls"], mail["to"]) == (True, ["ines@example.org", "jo@example.org"])
            assert message["Message-ID"] == f"<{sent.id}@example.org>"
            assert (message["Subject"], message.get_content().splitlines()) == (sent.title, sent.text.splitlines())
            assert mail["text"].isascii()
            (tmp_path / "secret").write_text("another\n")
            assert codes(not_delivered(receiver, tmp_path)) == ["notify-smtp"]
            (tmp_path / "secret").write_text(SECRET)
            wrong = entry(f"{scheme}://localhost:{server.port}", "email", ca=str(Authority(tmp_path / "no").ca))
            assert codes(not_delivered(wrong, tmp_path)) == ["at", "tls-ca-untrusted"]
            assert len(server.mails) == 1


def test_no_mail_leaves_this_machine_without_tls(tmp_path: Path) -> None:
    """A server beyond loopback (0.0.0.0 stands for one) without STARTTLS gets neither login nor mail."""
    with mail_server(tmp_path, host="0.0.0.0", login=f"duty:{SECRET}") as server:
        login = {"user": "duty", "password_file": secret(tmp_path)}
        for more in (login, {}):
            error = not_delivered(entry(f"smtp://0.0.0.0:{server.port}", "email", **more), tmp_path)
            assert codes(error) == ["notify-no-starttls"]
        receiver = entry(f"smtp://127.0.0.1:{server.port}", "email", **login)
        assert deliver(receiver, tmp_path, notification(ROW)).missed == ()
        assert [mail["tls"] for mail in server.mails] == [False]


def test_a_recipient_that_is_refused_is_named_and_the_others_have_the_mail_once(tmp_path: Path) -> None:
    with mail_server(tmp_path, refuses=["jo@example.org"]) as server:
        receiver = entry(f"smtp://127.0.0.1:{server.port}", "email")
        delivered = deliver(receiver, tmp_path, notification(ROW))
        assert delivered.missed == ("jo@example.org: 550 no such mailbox",)
        assert [mail["to"] for mail in server.mails] == [["ines@example.org"]]
        alone = entry(f"smtp://127.0.0.1:{server.port}", "email", to="jo@example.org")
        assert (codes(error := not_delivered(alone, tmp_path)), error.refused) == (["notify-recipients"], True)


@pytest.mark.parametrize(
    ("options", "found"), [({"hangs": True}, ["at", "errno-timed-out"]), ({"answer": "451 later"}, ["notify-smtp"])]
)
def test_a_mail_server_that_hangs_or_declines(
    tmp_path: Path, options: dict[str, Any], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_module, "TIMEOUT_S", 0.5)
    with mail_server(tmp_path, **options) as server:
        error = not_delivered(entry(f"smtp://127.0.0.1:{server.port}", "email"), tmp_path)
        assert (codes(error), error.refused) == (found, False)


def test_ntfy_shows_title_text_and_priority_in_any_language_and_takes_the_longest(tmp_path: Path) -> None:
    many = [replace(BUS, id=n, text="很长的一句话" * 30) for n in range(60)]
    with ntfy(tmp_path) as server:
        receiver = entry(f"{server.url}/hydro", "ntfy", language="zh")
        sent = notification(ROW, language="zh")
        assert sent.title in deliver(receiver, tmp_path, sent).words
        deliver(receiver, tmp_path, notification(*many, language="zh"))
        deliver(receiver, tmp_path, notification(replace(ROW, cleared_ms=NOW_MS)))
        one, other, cleared = server.messages("hydro")
    assert (one["title"], one["message"], one["priority"], one["tags"]) == (sent.title, sent.text, 4, ["warning"])
    assert (other["priority"], len(other["message"].encode()) <= 3500) == (5, True)
    assert (cleared.get("priority", 3), cleared["tags"]) == (3, ["white_check_mark"])


def test_text_of_a_device_begins_no_line_and_no_header() -> None:
    evil = replace(ROW, text="x\r\nBcc: evil@example.org\n\n\x1b[2J", message=None, line="a\r\nSubject: b")
    mail = mail_of(entry("smtp://127.0.0.1", "email"), notification(evil))
    assert (mail["Bcc"], mail.get_all("Subject"), len(mail["Subject"].splitlines())) == (None, [mail["Subject"]], 1)
    assert len(notification(evil).text.splitlines()) == 2
    assert notification(evil).text.replace("\n", "").isprintable()


def test_the_id_is_that_of_the_changes_and_not_of_the_process() -> None:
    items = [("raised", ROW), ("raised", BUS)]
    assert notification_id("g", "duty", items) == notification_id("g", "duty", items[::-1])  # type: ignore[arg-type]
    others = {notification_id(g, r, [("raised", ROW)]) for g in ("g", "h") for r in ("duty", "boss")}
    assert len(others) == 4
    again = replace(ROW, raised_ms=ROW.raised_ms + 1)
    assert notification_id("g", "r", [("raised", ROW)]) != notification_id("g", "r", [("raised", again)])
