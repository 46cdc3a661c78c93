"""The rooms of the house and the doors between them: each rule names the accident it prevents."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("backend", "worker", "frontend", "migrations")


def modules(package: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported_names(path: Path) -> Iterator[str]:
    """Absolute names of all imports anywhere in the file, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


ALL_MODULES = [pair for package in PACKAGES for pair in modules(package)]


def inside(name: str, *rooms: str) -> bool:
    return any(name == room or name.startswith(room + ".") for room in rooms)


# (who, must not import, the accident)
FORBIDDEN = [
    (
        "backend",
        ("worker", "frontend", "torch", "transformers", "peft", "streamlit"),
        "a gigabyte in each API process",
    ),
    ("worker", ("backend.api", "backend.app", "frontend"), "a trainer that serves HTTP"),
    ("frontend", ("backend", "worker", "sqlalchemy", "celery"), "a UI that knows what the API does not say"),
    (
        "worker.engine",
        ("backend", "sqlalchemy", "celery", "fastapi", "httpx", "redis"),
        "learning that needs a service",
    ),
    (
        "worker.supervisor",
        ("torch", "transformers", "peft", "worker.engine", "worker.train"),
        "CUDA in a parent",
    ),
    ("backend.db", ("backend.api", "backend.jobs", "backend.datasets", "backend.verifiers"), "tables that know rules"),
    ("backend.verifiers", ("backend.jobs", "backend.datasets", "backend.api"), "a circle: jobs need verifiers"),
    ("backend.datasets", ("backend.jobs", "backend.verifiers", "backend.api"), "a circle: verifiers need datasets"),
    ("backend.jobs", ("backend.api", "backend.chat"), "rules that only hold for HTTP callers"),
    ("backend.chat", ("backend.api",), "a chat server that loads the API"),
    (
        "worker.sandbox",
        ("worker.engine", "worker.train", "torch", "backend.db", "backend.api"),
        "secrets by user code",
    ),
]


@pytest.mark.parametrize(("room", "forbidden", "accident"), FORBIDDEN, ids=[rule[0] for rule in FORBIDDEN])
def test_imports_point_one_way(room: str, forbidden: tuple[str, ...], accident: str) -> None:
    found = [
        f"{module} imports {name}"
        for module, path in ALL_MODULES
        if inside(module, room)
        for name in imported_names(path)
        if inside(name, *forbidden)
    ]
    assert not found, f"{accident}: {found}"


def test_the_engine_imports_nothing_of_ours_outside_itself() -> None:
    found = [
        f"{module} imports {name}"
        for module, path in ALL_MODULES
        if inside(module, "worker.engine")
        for name in imported_names(path)
        if inside(name, *PACKAGES) and not inside(name, "worker.engine")
    ]
    assert not found


def test_every_module_says_what_it_owns() -> None:
    silent = [
        module
        for module, path in ALL_MODULES
        if path.read_text().strip() and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert not silent


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("backend.app", ("torch", "transformers", "streamlit", "scipy", "datasketch")),
        ("backend.cli.main", ("httpx", "sqlalchemy", "pydantic", "torch")),
        ("worker.engine.loop", ("sqlalchemy", "celery", "fastapi")),
        ("worker.tasks", ("torch", "transformers", "fastapi", "scipy", "datasketch")),
        ("worker.commands.serve", ("torch", "transformers", "peft", "celery", "fastapi")),
    ],
)
def test_importing_loads_no_more_than_is_needed(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([name for name in {absent!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert loaded.strip().splitlines()[-1] == "[]"
