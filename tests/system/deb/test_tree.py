"""What the Debian package holds, of a small environment in place of the real one; `scripts/bench package` runs it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import cryptography.hazmat.bindings._rust as compiled
import pytest

from gateway.commissioning.service_files import PACKAGED, TARGETS
from scripts.deb import roots
from scripts.deb.tree import COMMANDS, SCRIPTS, SYSTEM, Label, Unfit, demand_clean, label, lay_out, libraries, pack

ROOT = Path(__file__).parents[3]
NAME = Label("1.2.3-4", "amd64")
EPOCH_S = 1_700_000_000
QUICK = ("-Znone",)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An environment with a command, a compiled module, and a link to the system's Python."""
    home = tmp_path / "home"
    site = home / "lib/python3.13/site-packages/library"
    site.mkdir(parents=True)
    shutil.copy(Path(compiled.__file__), site / "_rust.abi3.so")
    (home / "bin").mkdir()
    for command in COMMANDS:
        (home / "bin" / command).write_text("#!/opt/meterseal/bin/python3\n")
    (home / "bin/python3").symlink_to("/usr/bin/python3")
    return home


def built(tmp_path: Path, home: Path, file: str = "one.deb") -> Path:
    tree, deb = tmp_path / "tree", tmp_path / file
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    lay_out(tree, ROOT, home, NAME, [str(tmp_path), str(ROOT)])
    pack(tree, deb, EPOCH_S, QUICK)
    return deb


def output_of(*command: object) -> str:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout


def test_what_it_holds(tmp_path: Path, home: Path) -> None:
    listed = output_of("dpkg-deb", "--contents", built(tmp_path, home))
    assert all(line.split()[1] == "root/root" for line in listed.splitlines())
    files = {line.split()[5].removeprefix("./"): line for line in listed.splitlines()}
    for target in SYSTEM.values():
        assert files[target].startswith("-rw-r--r--")
    for command in COMMANDS:
        assert files[f"usr/bin/{command}"].endswith(f" -> /opt/meterseal/bin/{command}")
        assert files[f"opt/meterseal/bin/{command}"].startswith("-rwxr-xr-x")
    assert files["opt/meterseal/bin/python3"].endswith(" -> /usr/bin/python3")
    documents = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert {f"usr/share/doc/meterseal/{name}" for name in (*documents, "copyright", "changelog.gz")} <= files.keys()
    strays = [
        path for path in files if not path.startswith(("usr/", "opt/meterseal/", "opt/")) and path not in ("", "./")
    ]
    assert strays == []
    assert SYSTEM.keys() == TARGETS.keys()
    assert SYSTEM["meterseal.service"] == str(PACKAGED)


def test_what_it_says_of_itself(tmp_path: Path, home: Path) -> None:
    fields = output_of("dpkg-deb", "--field", built(tmp_path, home))
    assert re.search(r"(?m)^Version: 1\.2\.3-4$", fields)
    needs = re.search(r"(?m)^Depends: (.*)$", fields)
    assert needs is not None
    assert {"python3 (>= 3.13)", "python3 (<< 3.14)", "libc6 (>= 2.34)", "libgcc-s1"} <= set(needs[1].split(", "))
    assert label(ROOT, "arm64", "7").file == "meterseal_0.1.0-7_arm64.deb"


def test_two_builds_of_the_same_are_the_same(tmp_path: Path, home: Path) -> None:
    assert built(tmp_path, home, "one.deb").read_bytes() == built(tmp_path, home, "two.deb").read_bytes()


def test_its_scripts_are_sound_and_do_no_more_the_second_time(tmp_path: Path, home: Path) -> None:
    control = tmp_path / "control"
    output_of("dpkg-deb", "--control", built(tmp_path, home), control)
    for name in ("postinst", "prerm", "postrm"):
        assert (control / name).read_text() == (SCRIPTS / name).read_text()
        assert (control / name).stat().st_mode & 0o777 == 0o755
        output_of("sh", "-n", control / name)
    sums = (control / "md5sums").read_text()
    assert "usr/lib/systemd/system/meterseal.service" in sums


@pytest.mark.parametrize("where", ["file", "link"])
def test_a_path_of_the_building_machine_is_found(tmp_path: Path, where: str) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    if where == "file":
        (tree / "module.pyc").write_bytes(b"\0\1" + str(tmp_path).encode() + b"/gateway/cli/app.py\0")
    else:
        (tree / "python3").symlink_to(tmp_path / "bin/python3")
    with pytest.raises(Unfit, match=r"(module\.pyc|python3): ") as error:
        demand_clean(tree, [str(tmp_path)])
    assert str(tmp_path) in str(error.value)
    demand_clean(tree, ["/another/machine"])


def test_a_library_that_no_known_package_gives_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "opt/meterseal/lib/python3.13/site-packages/library"
    folder.mkdir(parents=True)
    source, module = tmp_path / "x.c", folder / "odd.so"
    source.write_text("int one(void) { return 1; }\n")
    output_of("gcc", "-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libodd.so.1", source, "-o", folder / "libodd.so.1")
    output_of(
        "gcc", "-shared", "-fPIC", "-nostdlib", "-Wl,--no-as-needed", source, folder / "libodd.so.1", "-o", module
    )
    assert libraries(tmp_path) == []  # it comes along
    (folder / "libodd.so.1").unlink()
    with pytest.raises(Unfit, match=r"odd\.so needs libodd\.so\.1"):
        libraries(tmp_path)


def test_the_mirror_is_read_from_whatever_apt_has() -> None:
    text = "Types: deb\nURIs: http://one.example/debian\nSuites: trixie trixie-updates\n\n"
    text += "Types: deb-src\nURIs: http://two.example/debian\nSuites: trixie\n"
    assert roots._deb822(text) == [("http://one.example/debian", "trixie trixie-updates")]
    lines = "# deb http://no.example x y\ndeb [signed-by=/k.gpg] https://three.example/debian trixie main\n"
    assert roots._lines(lines) == [("https://three.example/debian", "trixie")]
