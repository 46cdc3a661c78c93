"""Rules on imports between packages: each rule names the problem it prevents."""

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
    """Yield the absolute names of all imports in the file, including those inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


ALL_MODULES = [pair for package in PACKAGES for pair in modules(package)]


def inside(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


# (package, what it must not import, the problem that this prevents)
FORBIDDEN = [
    (
        "backend",
        ("worker", "frontend", "torch", "transformers", "peft", "streamlit"),
        "an API process with a gigabyte of unused libraries",
    ),
    ("worker", ("backend.api", "backend.app", "frontend"), "a trainer that serves HTTP"),
    ("frontend", ("backend", "worker", "sqlalchemy", "celery"), "a UI that bypasses the API"),
    (
        "worker.engine",
        ("sqlalchemy", "celery", "fastapi", "httpx", "redis"),
        "an engine that needs services",
    ),
    (
        "backend.core",
        ("sqlalchemy", "celery", "fastapi", "httpx", "redis", "streamlit"),
        "an engine that needs services, by way of what it shares with them",
    ),
    (
        "worker.supervisor",
        ("torch", "transformers", "peft", "worker.engine", "worker.train"),
        "CUDA in the parent of the trainer",
    ),
    (
        "backend.db",
        ("backend.api", "backend.jobs", "backend.datasets", "backend.verifiers"),
        "tables that depend on business rules",
    ),
    ("backend.verifiers", ("backend.jobs", "backend.datasets", "backend.api"), "a cycle: jobs need verifiers"),
    ("backend.datasets", ("backend.jobs", "backend.verifiers", "backend.api"), "a cycle: verifiers need datasets"),
    ("backend.jobs", ("backend.api", "backend.chat"), "rules that only hold for HTTP callers"),
    ("backend.chat", ("backend.api",), "a chat server that loads the API"),
    (
        "worker.sandbox",
        ("worker.engine", "worker.train", "torch", "backend.db", "backend.api"),
        "secrets readable by user code",
    ),
]


@pytest.mark.parametrize(("package", "forbidden", "problem"), FORBIDDEN, ids=[rule[0] for rule in FORBIDDEN])
def test_imports_point_one_way(package: str, forbidden: tuple[str, ...], problem: str) -> None:
    found = [
        f"{module} imports {name}"
        for module, path in ALL_MODULES
        if inside(module, package)
        for name in imported_names(path)
        if inside(name, *forbidden)
    ]
    assert not found, f"{problem}: {found}"


def test_the_engine_imports_of_the_project_only_itself_and_the_core_which_imports_nothing_of_it() -> None:
    """An engine that reaches any other room of the service can soon not run without a database."""
    found = [
        f"{module} imports {name}"
        for module, path in ALL_MODULES
        for room, allowed in (("worker.engine", ("worker.engine", "backend.core")), ("backend.core", ("backend.core",)))
        if inside(module, room)
        for name in imported_names(path)
        if inside(name, *PACKAGES) and not inside(name, *allowed)
    ]
    assert not found


def test_every_module_has_a_docstring() -> None:
    undocumented = [
        module
        for module, path in ALL_MODULES
        if path.read_text().strip() and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert not undocumented


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("backend.app", ("torch", "transformers", "streamlit", "scipy", "datasketch")),
        ("backend.cli.main", ("httpx", "sqlalchemy", "pydantic", "torch")),
        ("backend.core.settings.spec", ("torch", "numpy", "sqlalchemy", "fastapi")),
        ("backend.core.statistics", ("torch", "scipy", "pydantic")),
        ("worker.engine.loop", ("sqlalchemy", "celery", "fastapi")),
        ("worker.tasks", ("torch", "transformers", "fastapi", "scipy", "datasketch")),
        ("worker.commands.serve", ("torch", "transformers", "peft", "celery", "fastapi")),
    ],
)
def test_importing_loads_no_more_than_is_needed(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([name for name in {absent!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert loaded.strip().splitlines()[-1] == "[]"
