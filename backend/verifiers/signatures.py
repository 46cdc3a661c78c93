"""Entry point of a Python verifier, and the arguments of its call by the names of its parameters.

The source is parsed and compiled, never run. To add a signature, add an entry to `SIGNATURES` and, if needed, a value
to `worker/sandbox/values.py`.
"""

import ast
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from backend.errors import AppError

MAX_SOURCE_BYTES = 262_144  # OpenAI's limit for a python grader: 256 kB
# Above what that many bytes can hold without `finally`: compiling takes less than a second and some 200 MiB.
MAX_COMPILED_NODES = 300_000
PREFERRED_NAME = "grade"


@dataclass(frozen=True, slots=True)
class Signature:
    """`arguments`: parameter -> the value it receives, a name of worker/sandbox/values.py.

    A function matches if it accepts all of `least` and at least one of `arguments`, and requires no others.
    """

    name: str
    arguments: Mapping[str, str]
    least: frozenset[str]
    columns: bool = False
    """Called once for a batch, with lists; every other parameter is a column of the rows."""
    shown: str = ""

    @property
    def title(self) -> str:
        """A description for users."""
        return _TITLES[self.name]


def _signature(name: str, shown: str, *, least: str, columns: bool = False, **arguments: str) -> Signature:
    return Signature(name=name, arguments=arguments, least=frozenset(least.split()), columns=columns, shown=shown)


_TITLES = {
    "short": "the short signature",
    "openai": "OpenAI's signature",
    "verl": "verl's signature",
    "trl": "TRL's signature, lists for a whole batch",
    "predibase": "Predibase's signature",
    "together": "Together's signature",
    "verifiers": "the signature of the verifiers library",
}


SIGNATURES = (
    _signature("short", "(item, output_text)", least="item output_text", item="item", output_text="output_text"),
    _signature("openai", "(sample, item)", least="sample item", sample="sample", item="item"),
    _signature(
        *("verl", "(data_source, solution_str, ground_truth, extra_info)"),
        least="solution_str ground_truth",
        data_source="data_source",
        solution_str="output_text",
        ground_truth="ground_truth",
        extra_info="extra_info",
    ),
    _signature(
        *("trl", "(completions, **columns)"),
        least="completions",
        columns=True,
        prompts="prompt",
        completions="completion",
    ),
    _signature(
        *("predibase", "(prompt, completion, example)"),
        least="completion example",
        prompt="prompt_text",
        completion="output_text",
        example="item",
    ),
    _signature(
        "together", "(prediction, target)", least="prediction target", prediction="output_text", target="target"
    ),
    _signature(
        *("verifiers", "any of (prompt, completion, answer, info)"),
        least="",
        prompt="prompt",
        completion="completion",
        answer="answer",
        info="info",
    ),
)
"""In order of precedence."""


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """The function to call. `arguments`: parameter -> value, of those that the function accepts. `chat`: `prompt` and
    `completion` are lists of messages, if the source looks up "content" or "role"; else they are texts.
    """

    function: str
    line: int
    signature: Signature
    arguments: Mapping[str, str]
    required_columns: tuple[str, ...] = ()
    optional_columns: tuple[str, ...] = ()
    every_column: bool = False
    chat: bool = False

    @property
    def takes_batches(self) -> bool:
        return self.signature.columns

    @property
    def reads_prompt(self) -> bool:
        return not {"prompt", "prompt_text"}.isdisjoint(self.arguments.values())


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


@lru_cache(maxsize=64)
def entry_point(source: str) -> EntryPoint:
    """Return the function named `grade`, or the only one at top level, with the signature that its parameters match.

    Raises AppError(400) that names the line to change.
    """
    tree = parse_source(source)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    named = [node for node in functions if node.name == PREFERRED_NAME]
    if not functions:
        raise AppError(
            "The source defines no function at top level: define, for example, 'def grade(item, output_text)'.",
            code="no_function",
        )
    if not named and len(functions) > 1:
        lines = ", ".join(f"{node.name} (line {node.lineno})" for node in functions[:10])
        raise AppError(
            f"The source defines several functions, none of them named 'grade': {lines}.", code="ambiguous_function"
        )
    function = named[-1] if named else functions[0]
    if isinstance(function, ast.AsyncFunctionDef):
        raise AppError(
            f"Line {function.lineno}: '{function.name}' is async; a verifier must be a plain function.",
            code="unknown_signature",
        )
    return _match_signature(function, chat=_reads_messages(tree))


def _reads_messages(tree: ast.Module) -> bool:
    """Return whether "content" or "role" is looked up: `completion[0]["content"]`, `m.get("role")`."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(slice=ast.Constant(value="content" | "role")):
                return True
            case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value="content" | "role"), *_]):
                return True
    return False


def _match_signature(function: ast.FunctionDef, *, chat: bool) -> EntryPoint:
    arguments = function.args
    positional = arguments.posonlyargs + arguments.args
    optional = len(arguments.defaults)
    required = [a.arg for a in positional[: len(positional) - optional]] + [
        a.arg for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None
    ]
    accepted = [a.arg for a in arguments.args + arguments.kwonlyargs]
    for signature in SIGNATURES:
        known = set(signature.arguments)
        if not signature.least <= set(accepted) or known.isdisjoint(accepted):
            continue
        if not set(required) <= set(accepted) or not (signature.columns or set(required) <= known):
            continue
        others = [name for name in accepted if name not in known] if signature.columns else []
        return EntryPoint(
            function=function.name,
            line=function.lineno,
            signature=signature,
            arguments={name: value for name, value in signature.arguments.items() if name in accepted},
            required_columns=tuple(name for name in others if name in required),
            optional_columns=tuple(name for name in others if name not in required),
            every_column=signature.columns and arguments.kwarg is not None,
            chat=chat,
        )
    found = ", ".join(a.arg for a in positional + arguments.kwonlyargs)
    shown = ", ".join(signature.shown for signature in SIGNATURES)
    raise AppError(
        f"Line {function.lineno}: '{function.name}({found})' matches no known signature; supported are {shown}.",
        code="unknown_signature",
    )
