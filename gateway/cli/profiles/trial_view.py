"""Trial of a profile as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from gateway.cli.profiles.profile_view import counts_text, summary_as_json
from gateway.cli.profiles.trial import ReadBack, Trial
from gateway.cli.terminal.plan_view import print_plan


def print_trial(out: Console, trial: Trial) -> None:
    """What was found, in the order of the trial."""
    profile, back = trial.profile, trial.read_back
    recorded = sum(point.record for point in profile.points)
    out.print(Text(profile.name, "bold"), f" {profile.vendor} {profile.device} ({profile.protocol})")
    out.print(f"rules: met; {len(profile.points)} points, {recorded} recorded")
    out.print(f"provenance: {counts_text(profile)}")
    print_plan(out, trial.plan)
    out.print(f"simulated poll: {_text(back)}", soft_wrap=True)
    for point in back.differs:
        out.print(f"  {point.point}: sent {', '.join(map(str, point.sent))}, read {point.read}", soft_wrap=True)
    if profile.ask and not back.why_not:
        out.print(f"{', '.join(profile.ask)} is open; the simulated device has the high word first")


def _text(back: ReadBack) -> str:
    if back.why_not:
        return f"none: {back.why_not}"
    if back.missed:
        return f"no answer ({back.missed})"
    compared = len(back.agreed) + len(back.differs)
    compared_words = f"{len(back.agreed)} of {compared} values as sent"
    if back.without:
        compared_words += f"; the simulator has no value for {', '.join(back.without)}"
    if back.unread:
        compared_words += f"; not answered: {', '.join(back.unread)}"
    return compared_words


def as_json(trial: Trial) -> dict[str, Any]:
    """The same as plain data; values as text, so that no digit is lost."""
    back = asdict(trial.read_back)
    back["differs"] = [
        {"point": d.point, "sent": list(map(str, d.sent)), "read": str(d.read)} for d in trial.read_back.differs
    ]
    return {
        "ok": trial.ok,
        **summary_as_json(trial.profile),
        "sources": dict(trial.profile.provenance.sources) if trial.profile.provenance else {},
        "plan": trial.plan.as_json(),
        "simulated": {"done": not trial.read_back.why_not, **back},
    }
