"""Which libraries a verifier can import beside the standard library, and where they lie: a folder of their own.

The folder is made from the pinned list `libraries.txt` (worker/sandbox/environment.py), whole or not at all, and its
name follows from the list, so another list is another folder. Nothing of this environment can be imported there.
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
"""What verifiers may count on; the first six are those shown to users."""


def folder() -> Path:
    """Where the libraries of this list belong: in this environment, below a name that its own imports never look at."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(LIST.read_bytes() + version.encode()).hexdigest()
    return Path(sys.prefix) / "share" / "rlsd-workbench" / f"verifier-libraries-{digest[:16]}"


def installed() -> bool:
    return folder().is_dir()


def libraries_of(tree: ast.AST) -> frozenset[str]:
    """The modules of `MODULES` that a program imports."""
    return frozenset(name for node in ast.walk(tree) for name in _roots(node)) & frozenset(MODULES)


def require_importable(tree: ast.AST) -> None:
    """Raises AppError(400) for an import that the sandbox will refuse, unless it stands in `try` with an `except`."""
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
                    f"Line {getattr(node, 'lineno', 1)}: '{name:.60}' cannot be imported in the sandbox; beside the "
                    f"standard library there are {', '.join(MODULES[:6])}.",
                    code="unknown_library",
                )


def require_installed(name: str, *, where: str = "") -> None:
    """Raises AppError(400) where the folder of libraries has not been made."""
    if not installed():
        raise AppError(
            f"{where}'{name}' is not installed for verifiers on this machine: an administrator runs "
            "`python -m worker.sandbox.environment` once.",
            code="libraries_missing",
        )


def _roots(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name.partition(".")[0] for alias in names)
        case ast.ImportFrom(module=str() as module, level=0):
            yield module.partition(".")[0]
