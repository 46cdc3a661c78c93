"""Which function of a Python verifier is called, and with what, by the names of its parameters.

The source is parsed and compiled, never run. A later signature is one more entry of `SIGNATURES`, and perhaps a value
that the sandbox knows how to make (`worker/sandbox/grading.py` lists them).
"""

import ast
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from backend.errors import AppError

MAX_SOURCE_BYTES = 262_144  # OpenAI's limit for a python grader: 256 kB
# Above what that many bytes can hold without `finally`: compiling takes less than a second and some 200 MiB.
MAX_COMPILED_NODES = 300_000
PREFERRED_NAME = "grade"


@dataclass(frozen=True, slots=True)
class Signature:
    """`arguments`: parameter -> the value it receives."""

    name: str
    arguments: Mapping[str, str]

    def shown(self) -> str:
        return f"({', '.join(self.arguments)})"


SIGNATURES = (
    Signature(name="openai", arguments={"sample": "sample", "item": "item"}),
    Signature(name="short", arguments={"item": "item", "output_text": "output_text"}),
)


@dataclass(frozen=True, slots=True)
class EntryPoint:
    function: str
    signature: Signature


def parse_source(source: str) -> ast.Module:
    """Raises AppError(400) with line and column where it is not Python."""
    try:
        size = len(source.encode())
    except UnicodeEncodeError as error:
        raise AppError(
            f"The source holds a lone surrogate at character {error.start}.", code="invalid_source"
        ) from error
    if size > MAX_SOURCE_BYTES:
        raise AppError(f"The source has {size} bytes, the limit is {MAX_SOURCE_BYTES}.", code="source_too_long")
    with _refusing():
        return ast.parse(source)


def check_compiles(source: str) -> None:
    """Raises AppError(400) with the line of what parses and yet is no program: `return` outside a function.

    Compiling runs nothing, but the compiler copies a `finally` to every way out of its block: nested ones double at
    each level. So what it would produce is estimated first.
    """
    if _compiled_nodes(parse_source(source)) > MAX_COMPILED_NODES:
        raise AppError(
            "The source compiles to too much code: nest 'finally', 'with' and 'except' less.", code="source_too_long"
        )
    with _refusing():
        compile(source, "<verifier>", "exec", dont_inherit=True)


@contextmanager
def _refusing() -> Iterator[None]:
    """Turns what the parser and the compiler raise into AppError(400)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SyntaxError as error:
        place = f"Line {error.lineno}, column {error.offset}: " if error.lineno else ""
        raise AppError(f"{place}{error.msg}.", code="invalid_source") from error
    except (RecursionError, MemoryError) as error:
        raise AppError("The source is nested too deeply to be read.", code="invalid_source") from error
    except ValueError as error:  # NUL bytes
        raise AppError(f"The source cannot be read: {error}.", code="invalid_source") from error


def _compiled_nodes(tree: ast.Module) -> int:
    """An upper bound of the nodes that the compiler visits, copies included; cut off above MAX_COMPILED_NODES."""
    sizes: dict[ast.AST, int] = {}
    exits: dict[ast.AST, int] = {}  # ways out of a block: return, break, continue
    for node in reversed(list(ast.walk(tree))):  # children before parents
        children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context)]
        size = 1 + sum(sizes[child] for child in children)
        ways = sum(exits[child] for child in children) + isinstance(node, ast.Return | ast.Break | ast.Continue)
        if isinstance(node, ast.Try | ast.TryStar):
            again = sum(exits[child] for child in node.finalbody)
            copies = 1 + ways - again  # one more for the exception
            size += copies * sum(sizes[child] for child in node.finalbody)
            ways += copies * again
        elif isinstance(node, ast.With | ast.AsyncWith):
            size += ways * len(node.items)
        elif isinstance(node, ast.ExceptHandler):
            size += ways
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            ways = 0
        if size > MAX_COMPILED_NODES:
            return size
        sizes[node], exits[node] = size, ways
    return sizes[tree]


def entry_point(source: str) -> EntryPoint:
    """The function named `grade`, else the only one at top level, with the signature its parameters spell.

    Raises AppError(400) that says which line to change.
    """
    tree = parse_source(source)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    named = [node for node in functions if node.name == PREFERRED_NAME]
    if not functions:
        raise AppError(
            "The source defines no function at top level: write `def grade(sample, item):`.", code="no_function"
        )
    if not named and len(functions) > 1:
        lines = ", ".join(f"{node.name} (line {node.lineno})" for node in functions[:10])
        raise AppError(
            f"The source defines several functions and none is named 'grade': {lines}.", code="ambiguous_function"
        )
    function = named[-1] if named else functions[0]
    if isinstance(function, ast.AsyncFunctionDef):
        raise AppError(
            f"Line {function.lineno}: '{function.name}' is async; a verifier is a plain function.",
            code="unknown_signature",
        )
    return EntryPoint(function=function.name, signature=_recognise(function))


def _recognise(function: ast.FunctionDef) -> Signature:
    arguments = function.args
    positional = arguments.posonlyargs + arguments.args
    optional = len(arguments.defaults)
    required = {a.arg for a in positional[: len(positional) - optional]} | {
        a.arg for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None
    }
    accepted = {a.arg for a in arguments.args + arguments.kwonlyargs}
    for signature in SIGNATURES:
        if required <= set(signature.arguments) <= accepted:
            return signature
    found = ", ".join(a.arg for a in positional + arguments.kwonlyargs)
    known = " or ".join(signature.shown() for signature in SIGNATURES)
    raise AppError(
        f"Line {function.lineno}: '{function.name}({found})' has parameters that no known signature has; use {known}.",
        code="unknown_signature",
    )
