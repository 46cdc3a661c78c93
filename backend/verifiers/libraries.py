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


def require_importable(tree: ast.AST) -> None:
    """Raise AppError(400) for an import that fails in the sandbox, unless it is in a `try` with an `except`."""
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
        for name in _roots(node):
            if name in MODULES:
                require_installed(name, where=f"Line {getattr(node, 'lineno', 1)}: ")
            elif name not in sys.stdlib_module_names:
                raise AppError(
                    f"Line {getattr(node, 'lineno', 1)}: '{name:.60}' cannot be imported in the sandbox; available are "
                    f"the standard library, {', '.join(MODULES[:6])}.",
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


def _roots(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name.partition(".")[0] for alias in names)
        case ast.ImportFrom(module=str() as module, level=0):
            yield module.partition(".")[0]
