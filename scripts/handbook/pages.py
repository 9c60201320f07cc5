"""The pages of the site: the documents as they are, those that the code tells, and the menu over both."""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePosixPath

from scripts.handbook import reference

MENU = {
    "Begin": ["tutorial"],
    "Guides": [
        "install",
        "connecting",
        "scan",
        "commissioning",
        "operator",
        "verifier",
        "accounting",
        "claims",
        "threats",
        "readings",
        "api",
        "pages",
        "profiles",
        "simulator",
        "faults",
        "compare",
        "pytest",
        "ledger",
        "evm",
        "bridge",
        "control-room",
    ],
    "How it works": ["architecture", "fieldbus", "storage", "feeds", "sparkplug", "notifications", "decisions"],
    "Reference": ["configuration", "keys", "commands", "quantities", "alarms", "metrics", "formats", "compatibility"],
}
"""Each page once, by the name of its document; what is not there is not built."""
_FENCE = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"(?<![\w/`\[])(?<!\]\()`?docs/((?:decisions/)?[\w-]+)(\.md|\.cddl)?`?(?![\w/])")


def put_together(docs: Path, target: Path) -> None:
    """Every page of the site into ``target``, as Markdown."""
    shutil.copytree(docs, target, dirs_exist_ok=True)
    made = {
        "keys": reference.keys_page((docs / "configuration.md").read_text()),
        "commands": reference.commands_page(),
        "decisions": reference.decisions_page(docs),
    }
    for name, text in made.items():
        (target / f"{name}.md").write_text(text)
    for page in target.rglob("*.md"):
        text = linked(page.read_text(), str(page.relative_to(target)), docs)
        page.write_text(text + (menu(target) if page == target / "index.md" else ""))


def menu(target: Path) -> str:
    """The menu over the pages that there are."""
    parts = []
    for caption, names in MENU.items():
        there = [name for name in names if (target / f"{name}.md").exists()]
        parts.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *there, "```"]))
    return "\n" + "\n\n".join(parts) + "\n"


def linked(markdown: str, source: str, docs: Path) -> str:
    """A page's text with its plain mentions of other documents as links: a reader of the files needs the names."""
    up = "../" * (len(PurePosixPath(source).parts) - 1)

    def link(found: re.Match[str]) -> str:
        target = document(found[1], found[2] or "", docs)
        return f"[{found[1]}]({up}{target})" if target else found[0]

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _NAME.sub(link, part) for part in parts)


def document(name: str, ending: str, docs: Path) -> str | None:
    """The file that a mention means: `fieldbus.md`; or `decisions/011`, whose title is left out."""
    if ending:
        return f"{name}{ending}"
    decision = next(docs.glob(f"{name}-*.md"), None) if name.startswith("decisions/") else None
    return str(decision.relative_to(docs)) if decision else None
