"""The layers of each package, from the bottom up: a layer imports only layers listed before it.

A layer is a folder, or a file next to folders. Add a new one here, at its position.
"""

from collections.abc import Iterator

import pytest

from tests.rules.test_imports import ALL_MODULES, imported_names

BACKEND = (
    *("core", "errors", "ids", "settings", "base_models", "outbound"),
    *("db", "blobs", "queue", "oidc", "quotas", "checks", "workers", "webhooks", "stack", "tracking"),
    *("datasets.formats", "datasets.rows", "datasets.analysis", "datasets.reading", "datasets.versions"),
    *("verifiers", "jobs", "comparisons", "chat"),
    *("api.http", "api.checks", "api.files", "api.verifiers", "api.jobs", "api.jobs.stream", "api.comparisons"),
    *("api.chat", "api.models", "api.operations", "api.organisation", "app", "cli", "generators"),
)
ENGINE = (
    *("types", "faults", "seeds", "settings", "measure", "distributed"),
    *("methods", "credit", "model", "rollouts", "evaluation", "observer", "teacher", "training"),
    *("experiment", "imitation", "step", "loop", "export", "preflight"),
)
WORKER = (
    *(f"engine.{layer}" for layer in ENGINE),
    *("faults", "sandbox", "training", "exports", "checks", "runs", "serving", "commands"),
    *("train", "preloaded", "fork_server", "supervisor", "tasks"),
)
PAGES = ("home", "datasets", "verifiers.graders", "verifiers", "new_job", "jobs", "job", "compare", "models")
FRONTEND = (
    *("api", "session", "words", "widgets", "components", "shell"),
    *(f"app_pages.{page}" for page in (*PAGES, "playground", "settings")),
    *("navigation", "streamlit_app"),
)
LAYERS = {"backend": BACKEND, "worker": WORKER, "frontend": FRONTEND}


def layer_of(module: str) -> str | None:
    """Return the most specific layer of the module."""
    package, _, name = module.partition(".")
    return max(
        (layer for layer in LAYERS.get(package, ()) if name == layer or name.startswith(layer + ".")),
        key=len,
        default=None,
    )


def cross_layer_imports(package: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield each import between layers of the package: (module, its layer, imported name, the layer of that)."""
    for module, path in ALL_MODULES:
        layer = layer_of(module)
        if not module.startswith(package + ".") or layer is None:
            continue
        for name in imported_names(path):
            imported_layer = layer_of(name) if name.startswith(package + ".") else None
            if imported_layer is not None and imported_layer != layer:
                yield module, layer, name, imported_layer


@pytest.mark.parametrize("package", LAYERS)
def test_every_file_has_a_layer(package: str) -> None:
    files = [(module, path) for module, path in ALL_MODULES if module.startswith(package + ".")]
    unlisted = [module for module, path in files if path.name != "__init__.py" and layer_of(module) is None]
    assert not unlisted, "add it to the layers in this file"
    empty = [layer for layer in LAYERS[package] if not any(layer_of(module) == layer for module, _ in files)]
    assert not empty


@pytest.mark.parametrize("package", LAYERS)
def test_a_layer_imports_only_layers_before_it(package: str) -> None:
    """Two layers that need each other can only be read, tested and changed together."""
    position = {layer: number for number, layer in enumerate(LAYERS[package])}
    found = [
        f"{module} imports {name}"
        for module, layer, name, imported_layer in cross_layer_imports(package)
        if position[imported_layer] > position[layer]
    ]
    assert not found


def test_no_page_imports_another_page() -> None:
    """What two pages need is a component, so that a page can be removed without changing another."""
    found = [
        f"{module} imports {name}"
        for module, layer, name, imported_layer in cross_layer_imports("frontend")
        if layer.startswith("app_pages.")
        and imported_layer.startswith("app_pages.")
        and not imported_layer.startswith(layer + ".")
    ]
    assert not found


@pytest.mark.parametrize("package", LAYERS)
def test_there_are_no_import_cycles(package: str) -> None:
    modules = {module: path for module, path in ALL_MODULES if module.startswith(package + ".")}
    imports = {
        module: {target for name in imported_names(path) if (target := _module(name, modules))}
        for module, path in modules.items()
    }
    while free := [module for module, targets in imports.items() if not targets & imports.keys() - {module}]:
        for module in free:
            del imports[module]
    assert not imports, "these modules are in a cycle or depend on one"


def _module(name: str, modules: object) -> str | None:
    assert isinstance(modules, dict)
    return next((part for part in (name, name.rpartition(".")[0]) if part in modules), None)
