"""Libraries that verifiers can import in addition to the standard library, installed in a folder of their own.

The folder is created atomically from the pinned list `libraries.txt` (worker/sandbox/environment.py); its name contains
a hash of the list. Packages of this environment cannot be imported there.
"""

import ast
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from backend.errors import AppError

LIST = Path(__file__).with_name("libraries.txt")
MODULES = (
    *("math_verify", "sympy", "numpy", "rapidfuzz", "jsonschema", "dateutil"),
    *("latex2sympy2_extended", "mpmath", "nltk", "regex", "rouge_score", "sacrebleu"),
)
"""Modules available to verifiers; the first six are shown to users."""
MODEL_CODE = "model_code"
"""The sandbox's own module, with which a verifier runs code that a model wrote (worker/sandbox/model_code)."""

_IN_PYTHON = "compute it in this process"
REFUSED = {
    "subprocess": f"starts a process: {_IN_PYTHON}; for code that the model wrote, `import {MODEL_CODE}`, as the "
    "ready-made 'Code that passes unit tests' does",
    "multiprocessing": f"starts processes: {_IN_PYTHON}; rows are shared out over processes already",
    "concurrent.futures": f"starts threads or processes: {_IN_PYTHON}, one after the other",
    "threading.Thread": f"starts a thread: {_IN_PYTHON}; `async def` works for what waits",
    "threading.Timer": "starts a thread: compare `time.monotonic()` instead; each row has a time limit anyway",
    "asyncio.to_thread": f"starts a thread: {_IN_PYTHON}",
    "asyncio.create_subprocess_exec": f"starts a process: {_IN_PYTHON}",
    "asyncio.create_subprocess_shell": f"starts a process: {_IN_PYTHON}",
}
"""Modules, and names of modules, that the sandbox refuses when they are used, each with why and what works."""


def folder() -> Path:
    """Return the folder of the libraries: in this environment, outside its import path."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(LIST.read_bytes() + version.encode()).hexdigest()
    return Path(sys.prefix) / "share" / "rlsd-workbench" / f"verifier-libraries-{digest[:16]}"


def installed() -> bool:
    return folder().is_dir()


def libraries_of(tree: ast.AST) -> frozenset[str]:
    """Return the modules of `MODULES` that a program imports."""
    return frozenset(name for node in ast.walk(tree) for name in _roots(node)) & frozenset(MODULES)


def imports_model_code(tree: ast.AST) -> bool:
    return any(name == MODEL_CODE for node in ast.walk(tree) for name in _roots(node))


def require_importable(tree: ast.AST) -> None:
    """Raise AppError(400) for what the sandbox refuses: a thread, another process, an unknown import.

    An import in a `try` with an `except` passes.
    """
    guarded = {
        id(node)
        for attempt in ast.walk(tree)
        if isinstance(attempt, ast.Try) and attempt.handlers
        for statement in attempt.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        for name in _dotted(node):
            if name in REFUSED:
                raise AppError(
                    f"Line {getattr(node, 'lineno', 1)}: '{name}' cannot be used in the sandbox, because it "
                    f"{REFUSED[name]}.",
                    code="refused_in_sandbox",
                )
        for name in _roots(node):
            if name in MODULES:
                require_installed(name, where=f"Line {getattr(node, 'lineno', 1)}: ")
            elif name != MODEL_CODE and name not in sys.stdlib_module_names:
                raise AppError(
                    f"Line {getattr(node, 'lineno', 1)}: '{name:.60}' cannot be imported in the sandbox; available are "
                    f"the standard library, {', '.join(MODULES[:6])}, and {MODEL_CODE}.",
                    code="unknown_library",
                )


def require_installed(name: str, *, where: str = "") -> None:
    """Raise AppError(400) if the verifier libraries are not installed."""
    if not installed():
        raise AppError(
            f"{where}'{name}' is not installed for verifiers on this machine: an administrator must run "
            "`python -m worker.sandbox.environment` once.",
            code="libraries_missing",
        )


def _dotted(node: ast.AST) -> Iterator[str]:
    """Modules that a node imports, and the names that it takes from modules, in full."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=str() as module, names=names, level=0):
            yield module
            yield from (f"{module}.{alias.name}" for alias in names)
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            yield f"{module}.{name}"


def _roots(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name.partition(".")[0] for alias in names)
        case ast.ImportFrom(module=str() as module, level=0):
            yield module.partition(".")[0]
