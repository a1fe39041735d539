"""Rules for every tracked file, whoever wrote it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Put together here, so that this file passes its own test.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("deb", "debian", "org"),
        ("registry", "npmjs", "org"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
        ("archive", "ubuntu", "com"),
    )
)
MACHINE_PATHS = re.compile(r"(?<![\w.~/-])/(?:" + "|".join(("work", "tmp", "root", "home", "Users")) + r")/\w")


def tracked() -> list[Path]:
    """The text files of the checkout; empty where this is no git checkout."""
    if not (ROOT / ".git").exists():
        return []
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True)
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [f for f in files if f.is_file() and b"\0" not in f.read_bytes()[:4096]]


@pytest.fixture(scope="module")
def lines() -> list[tuple[str, str]]:
    """(place, line) of every line of every tracked text file."""
    files = tracked()
    if not files:
        pytest.skip("not a git checkout: no list of tracked files")
    return [
        (f"{file.relative_to(ROOT)}:{number}", line)
        for file in files
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
    ]


def test_no_file_names_a_package_registry(lines: list[tuple[str, str]]) -> None:
    assert [place for place, line in lines if any(host in line for host in REGISTRIES)] == []


def test_no_file_holds_a_path_of_somebodys_machine(lines: list[tuple[str, str]]) -> None:
    assert [place for place, line in lines if MACHINE_PATHS.search(line)] == []


def test_all_locks_hold_every_dependency_with_a_hash() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    build = project["dependency-groups"]["build"]
    runtime = project["project"]["dependencies"] + build
    extras = project["project"]["optional-dependencies"]
    development = runtime + extras["dev"]
    for lock, wanted in (
        ("requirements.lock", runtime),
        ("requirements-dev.lock", development),
        ("requirements-cluster.lock", development + extras["cluster"]),
    ):
        entries = re.findall(r"^([a-z0-9-]+)==(?:[^\n]*\\\n +--hash)", (ROOT / lock).read_text(), flags=re.M)
        assert sorted({re.split(r"[>=]", w)[0] for w in wanted} - set(entries)) == [], lock


def test_each_lock_can_stand_in_for_the_one_before() -> None:
    def pinned(lock: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==[^\\\n]*", (ROOT / lock).read_text(), flags=re.M))

    assert pinned("requirements.lock") <= pinned("requirements-dev.lock") <= pinned("requirements-cluster.lock")


def test_every_imported_package_is_a_declared_dependency() -> None:
    """Only `fit_*.py`, which nothing at run time imports, may use the dev extra, and `cluster.py` its own."""

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[>=]", r)[0].replace("-", "_").removesuffix("_python") for r in requirements}

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared, development = names(project["dependencies"]), names(project["optional-dependencies"]["dev"])
    extra = {"cluster.py": names(project["optional-dependencies"]["cluster"])}
    for file in (ROOT / "src").rglob("*.py"):
        imported = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
                if not file.name.startswith("fit"):
                    assert not node.module.rpartition(".")[2].startswith("fit_"), file
        known = declared | (development if file.name.startswith("fit_") else set()) | extra.get(file.name, set())
        assert imported - sys.stdlib_module_names - {"scoville"} - known == set(), file
