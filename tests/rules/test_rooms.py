"""The rooms of the house, from the ground up: a room imports those named before it, never one after it.

A room is a folder, or a file that stands beside folders. Where it belongs is decided here, so a new one is added here.
"""

from collections.abc import Iterator

import pytest

from tests.rules.test_imports import ALL_MODULES, imported_names

BACKEND = (
    *("errors", "ids", "settings", "verdict", "outbound"),
    *("db", "blobs", "queue", "oidc", "quotas", "checks", "workers", "webhooks", "stack", "tracking"),
    *("datasets.formats", "datasets.rows", "datasets.analysis", "datasets.reading", "datasets.versions"),
    *("verifiers", "jobs", "comparisons", "chat"),
    *("api.http", "api.checks", "api.files", "api.verifiers", "api.jobs", "api.jobs.stream", "api.comparisons"),
    *("api.chat", "api.models", "api.operations", "api.organisation", "app", "cli"),
)
ENGINE = (
    *("types", "faults", "seeds", "settings", "measure", "distributed"),
    *("methods", "credit", "model", "rollouts", "evaluation", "observer", "teacher", "training"),
    *("step", "loop", "export", "preflight"),
)
WORKER = (
    *(f"engine.{room}" for room in ENGINE),
    *("faults", "sandbox", "training", "exports", "checks", "serving", "commands"),
    *("train", "preloaded", "fork_server", "supervisor", "tasks"),
)
PAGES = ("home", "datasets", "verifiers.graders", "verifiers", "new_job", "jobs", "job", "compare", "models")
FRONTEND = (
    *("api", "session", "words", "widgets", "components", "shell"),
    *(f"pages.{page}" for page in (*PAGES, "playground", "settings")),
    *("navigation", "streamlit_app"),
)
ROOMS = {"backend": BACKEND, "worker": WORKER, "frontend": FRONTEND}


def room_of(module: str) -> str | None:
    """The longest name of a room that the module is in or is."""
    package, _, name = module.partition(".")
    return max(
        (room for room in ROOMS.get(package, ()) if name == room or name.startswith(room + ".")), key=len, default=None
    )


def arrows(package: str) -> Iterator[tuple[str, str, str, str]]:
    """Each import between rooms of the package: the module, its room, what it imports, and the room of that."""
    for module, path in ALL_MODULES:
        here = room_of(module)
        if not module.startswith(package + ".") or here is None:
            continue
        for name in imported_names(path):
            there = room_of(name) if name.startswith(package + ".") else None
            if there is not None and there != here:
                yield module, here, name, there


@pytest.mark.parametrize("package", ROOMS)
def test_every_file_has_a_room(package: str) -> None:
    files = [(module, path) for module, path in ALL_MODULES if module.startswith(package + ".")]
    homeless = [module for module, path in files if path.name != "__init__.py" and room_of(module) is None]
    assert not homeless, "say in this file where it stands"
    empty = [room for room in ROOMS[package] if not any(room_of(module) == room for module, _ in files)]
    assert not empty


@pytest.mark.parametrize("package", ROOMS)
def test_a_room_imports_only_what_stands_before_it(package: str) -> None:
    """Of two rooms that need each other neither can be read, tested or changed alone."""
    place = {room: number for number, room in enumerate(ROOMS[package])}
    found = [f"{module} imports {name}" for module, here, name, there in arrows(package) if place[there] > place[here]]
    assert not found


def test_a_page_knows_no_other_page() -> None:
    """What two pages need is a component: a page can be thrown away without another noticing."""
    found = [
        f"{module} imports {name}"
        for module, here, name, there in arrows("frontend")
        if here.startswith("pages.") and there.startswith("pages.") and not there.startswith(here + ".")
    ]
    assert not found


@pytest.mark.parametrize("package", ROOMS)
def test_no_two_files_import_each_other_even_by_way_of_others(package: str) -> None:
    modules = {module: path for module, path in ALL_MODULES if module.startswith(package + ".")}
    needs = {
        module: {home for name in imported_names(path) if (home := _module(name, modules))}
        for module, path in modules.items()
    }
    while free := [module for module, needed in needs.items() if not needed & needs.keys() - {module}]:
        for module in free:
            del needs[module]
    assert not needs, "each of these waits for another one of them"


def _module(name: str, modules: object) -> str | None:
    assert isinstance(modules, dict)
    return next((part for part in (name, name.rpartition(".")[0]) if part in modules), None)
