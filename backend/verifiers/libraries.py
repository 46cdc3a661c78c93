"""Libraries that verifiers can import in addition to the standard library, installed in a folder of their own.

The folder is created atomically from the pinned list `libraries.txt` (worker/sandbox/environment.py); its name contains
a hash of the list. Packages of this environment cannot be imported there.
"""

import ast
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from backend.errors import AppError
from backend.verifiers.definitions import runs_here

LIST = Path(__file__).with_name("libraries.txt")
MODULES = (
    *("math_verify", "sympy", "numpy", "rapidfuzz", "jsonschema", "dateutil"),
    *("latex2sympy2_extended", "mpmath", "nltk", "regex", "rouge_score", "sacrebleu"),
)
"""Modules available to verifiers; the first six are shown to users."""
MODEL_CODE = "model_code"
"""The sandbox's own module, with which a verifier runs code that a model wrote (worker/sandbox/model_code)."""
_OF_SWIFT = ("ORM", "AsyncORM", "orms", "rm_plugins")
STAND_INS: Mapping[str, tuple[str, ...]] = {
    "swift": (),
    "swift.utils": ("get_logger",),
    "swift.plugin": _OF_SWIFT,
    "swift.plugin.orm": _OF_SWIFT,
    "swift.rewards": _OF_SWIFT,
    "swift.rewards.orm": _OF_SWIFT,
}
"""Names of ms-swift that its reward plugins import; the sandbox has them (worker/sandbox/stand_ins.py)."""

_IN_PYTHON = "compute it in this process"
_PROCESS = (
    f"starts a process: {_IN_PYTHON}; for code that the model wrote, `import {MODEL_CODE}`, as the ready-made 'Code "
    "that passes unit tests' does"
)
_THREAD = f"starts a thread: {_IN_PYTHON}"
_NETWORK = "needs the network, which is not there: to ask a model, use a grader of the type `score_model`"
_ON_DISK = "makes files on a disk: keep it in memory, or write with `open`, which does that here"
_STARTING = ("exec", "fork", "popen", "posix_spawn", "spawn", "system")
REFUSED = {
    **dict.fromkeys(("subprocess", "pty", "asyncio.subprocess"), _PROCESS),
    **dict.fromkeys(("asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"), _PROCESS),
    **{f"os.{name}": _PROCESS for name in dir(os) if name.startswith(_STARTING)},
    "multiprocessing": f"starts processes: {_IN_PYTHON}; rows are shared out over processes already",
    "concurrent.futures": f"starts threads or processes: {_IN_PYTHON}, one after the other",
    "threading.Thread": f"{_THREAD}; `async def` works for what waits",
    "threading.Timer": "starts a thread: compare `time.monotonic()` instead; each row has a time limit anyway",
    **dict.fromkeys(("_thread.start_new_thread", "asyncio.to_thread", "run_in_executor"), _THREAD),
    **dict.fromkeys(("tempfile.NamedTemporaryFile", "tempfile.TemporaryFile", "tempfile.TemporaryDirectory"), _ON_DISK),
    **dict.fromkeys(("tempfile.mkstemp", "tempfile.mkdtemp"), _ON_DISK),
    **dict.fromkeys(("aiohttp", "anthropic", "httpx", "litellm", "openai", "requests", "urllib3"), _NETWORK),
    **dict.fromkeys(("http.client.HTTPConnection", "http.client.HTTPSConnection"), _NETWORK),
    **dict.fromkeys(("urllib.request.build_opener", "urllib.request.urlopen", "urllib.request.urlretrieve"), _NETWORK),
}
"""Modules, and names of modules, that the sandbox refuses when they are used, each with why and what works.
`run_in_executor` is a method, of any event loop.
"""


def folder() -> Path:
    """Return the folder of the libraries: in this environment, outside its import path."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(LIST.read_bytes() + version.encode()).hexdigest()
    return Path(sys.prefix) / "share" / "rlsd-workbench" / f"verifier-libraries-{digest[:16]}"


def installed() -> bool:
    return folder().is_dir()


def libraries_of(tree: ast.AST) -> frozenset[str]:
    """Return the modules of `MODULES` that a program imports."""
    roots = {path.partition(".")[0] for node in ast.walk(tree) for path, _ in _imports(node)}
    return frozenset(roots & set(MODULES))


def imports_model_code(tree: ast.AST) -> bool:
    return any(path.partition(".")[0] == MODEL_CODE for node in ast.walk(tree) for path, _ in _imports(node))


def require_importable(tree: ast.Module) -> None:
    """Raise AppError(400) for what the sandbox refuses: a thread, another process, the network, a temporary file, an
    unknown import.

    An import in a `try` with an `except` passes, and so does what only runs as a program or for type checkers.
    """
    passing = {id(node) for statement in _passing(tree) for node in ast.walk(statement)}
    nodes = [node for node in ast.walk(tree) if id(node) not in passing]
    modules = {name: path for node in ast.walk(tree) for name, path in _bound_modules(node)}
    for node in nodes:
        where = f"Line {getattr(node, 'lineno', 1)}: "
        for name in _dotted(node, modules):
            _require_allowed(name, where=where)
        for path, names in _imports(node):
            _require_available(path, names, where=where)


def _require_allowed(name: str, *, where: str) -> None:
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        refused = ".".join(parts[:end])
        if refused in REFUSED:
            raise AppError(
                f"{where}'{refused}' cannot be used in the sandbox, because it {REFUSED[refused]}.",
                code="refused_in_sandbox",
            )


def _require_available(path: str, names: Sequence[str], *, where: str) -> None:
    root = path.partition(".")[0]
    if root == MODEL_CODE or root in sys.stdlib_module_names:
        return
    if root in MODULES:
        require_installed(root, where=where)
        return
    missing = [name for name in names if name not in STAND_INS[path]] if path in STAND_INS else [path]
    if missing:
        of_swift = root in STAND_INS
        what = f"{path}.{missing[0]}" if path in STAND_INS else path if of_swift or not root else root
        available = f"of ms-swift {', '.join(_OF_SWIFT)}" if of_swift else ", ".join((*MODULES[:6], MODEL_CODE))
        raise AppError(
            f"{where}'{what:.60}' cannot be imported in the sandbox; available are the standard library, {available}.",
            code="unknown_library",
        )


def _passing(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the imports that may fail, and the statements that do not run in the sandbox.

    Another use in a `try` does not pass: its failure would be taken for that of a completion, and score 0.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Try(body=body, handlers=[_, *_]):
                inside = (each for statement in body for each in ast.walk(statement))
                yield from (each for each in inside if isinstance(each, ast.Import | ast.ImportFrom))
            case ast.If(body=body) if not runs_here(node):
                yield from body


def require_installed(name: str, *, where: str = "") -> None:
    """Raise AppError(400) if the verifier libraries are not installed."""
    if not installed():
        raise AppError(
            f"{where}'{name}' is not installed for verifiers on this machine: an administrator must run "
            "`python -m worker.sandbox.environment` once.",
            code="libraries_missing",
        )


def _bound_modules(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the names that an import binds, each with what it stands for in full."""
    match node:
        case ast.Import(names=names):
            for alias in names:
                root = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (root, root)
        case ast.ImportFrom(module=str() as module, names=names, level=0):
            yield from ((alias.asname or alias.name, f"{module}.{alias.name}") for alias in names)


def _dotted(node: ast.AST, modules: Mapping[str, str]) -> Iterator[str]:
    """Yield the modules that a node imports, and the names that it takes from modules, in full."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=str() as module, names=names, level=0):
            yield from (f"{module}.{alias.name}" for alias in names)
        case ast.Attribute(value=ast.Attribute(value=ast.Name(id=name), attr=middle), attr=last) if name in modules:
            yield f"{modules[name]}.{middle}.{last}"
        case ast.Attribute(value=ast.Name(id=name), attr=last) if name in modules:
            yield f"{modules[name]}.{last}"
        case ast.Attribute(attr="run_in_executor"):
            yield "run_in_executor"


def _imports(node: ast.AST) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the modules that a node imports, with the names taken from them. `.name`: one next to the source."""
    match node:
        case ast.Import(names=names):
            yield from ((alias.name, ()) for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            yield "." * level + (module or ""), [alias.name for alias in names]
