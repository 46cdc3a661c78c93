"""Parse the source of a Python verifier, and check that it compiles, within bounds. Nothing is run."""

import ast
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import AppError

MAX_SOURCE_BYTES = 262_144  # OpenAI's limit for a python grader: 256 kB
# Above what that many bytes can hold without `finally`: compiling takes less than a second and some 200 MiB.
MAX_COMPILED_NODES = 300_000


def parse_source(source: str) -> ast.Module:
    """Parse the source. Raises AppError(400) with line and column if it is not Python."""
    try:
        size = len(source.encode())
    except UnicodeEncodeError as error:
        raise AppError(
            f"The source contains a lone surrogate at character {error.start}.", code="invalid_source"
        ) from error
    if size > MAX_SOURCE_BYTES:
        raise AppError(f"The source has {size} bytes, the limit is {MAX_SOURCE_BYTES}.", code="source_too_long")
    with _refusing():
        return ast.parse(source)


def check_compiles(source: str) -> None:
    """Raise AppError(400) with the line of an error that only the compiler finds: `return` outside a function.

    Compiling runs nothing, but the compiler copies a `finally` to every exit of its block, so that nested ones double
    at each level. Therefore the size of the result is estimated first.
    """
    if _compiled_nodes(parse_source(source)) > MAX_COMPILED_NODES:
        raise AppError(
            "The source compiles to too much code: reduce nesting of 'finally', 'with' and 'except'.",
            code="source_too_long",
        )
    with _refusing():
        compile(source, "<verifier>", "exec", dont_inherit=True)


@contextmanager
def _refusing() -> Iterator[None]:
    """Convert exceptions of the parser and the compiler to AppError(400)."""
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
    """Return an upper bound of the nodes that the compiler visits, with copies; stops above MAX_COMPILED_NODES."""
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
