"""Inside: the unit tests of a row, made ready to run: what each is, and what of the code it uses."""

import ast
import builtins
import importlib.util
import json
import symtable
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import CodeType
from typing import cast

CHECK = "check"
"""HumanEval's function of a test, which is called with what the row names as `entry_point`."""
CANDIDATE = "candidate"
_MODULES_OF_THE_CODE = ("solution", "submission", "main", "your_module", "your_code", "my_module", "my_solution")
"""Names under which tests import the code itself."""


@dataclass(frozen=True, slots=True)
class Assertions:
    """A test in Python. `wanted`: names that it uses and does not bind. `uncalled`: names that it binds only."""

    text: str
    code: CodeType
    wanted: frozenset[str]
    uncalled: frozenset[str]

    def names(self, *, entry_point: str | None) -> frozenset[str]:
        """Return the names that the code may define for this test."""
        return self.wanted | (frozenset() if entry_point is None else {root_of(entry_point)})


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A test of a program: what it reads, and what it must print."""

    given: str
    printed: str


def root_of(entry_point: str) -> str:
    """Return the first name of an entry point: `Solution` of `Solution().twoSum`."""
    return entry_point.partition(".")[0].removesuffix("()")


def tests_of(tests: object) -> list[object]:
    """Return the tests of a column: a list, text of one (JSON or Python's notation), a single test, or lists of inputs
    and outputs. Raises ValueError for none.
    """
    if isinstance(tests, str):
        read = _decoded(tests)
        if read is None:
            return [tests]
        tests = read
    match tests:
        case {"inputs": list() as given, "outputs": list() as printed, **others}:
            tests = _dialogues(given, printed, calls=others.get("fn_name"))
        case {"input": list() as given, "output": list() as printed}:
            tests = _dialogues(given, printed, calls=None)
    if not isinstance(tests, list) or not tests:
        raise ValueError("the tests must be a list with at least one test")
    return tests


def _decoded(text: str) -> object:
    """Return what a cell holds as text; None if that is no JSON, and no list or object in Python's notation."""
    with suppress(ValueError):
        return cast(object, json.loads(text))
    with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
        found = ast.literal_eval(text)
        return found if isinstance(found, list | dict) else None
    return None


def prepared(test: object) -> Assertions | Dialogue:
    """Make a test ready. Raises ValueError for one that is at fault, whatever the code does."""
    match test:
        case {"testtype": "functional"}:
            raise ValueError(f"a test of a function must be Python (assert add(1, 2) == 3), not {test!r:.100}")
        case {"input": str() as given, "output": str() as printed}:
            return Dialogue(given=given, printed=printed)
        case str():
            return _assertions(test)
    raise ValueError(f'a test must be Python, or {{"input": text, "output": text}}, not {test!r:.100}')


def _dialogues(given: Sequence[object], printed: Sequence[object], *, calls: object) -> list[object]:
    """Return the tests of a program that are given as two lists, in which a text may be a list of its lines."""
    if calls:
        raise ValueError(f"tests of a function ('fn_name': {calls!r:.40}) must be Python: assert add(1, 2) == 3")
    if len(given) != len(printed):
        raise ValueError(f"the tests have {len(given)} inputs and {len(printed)} outputs")
    pairs = zip(given, printed, strict=True)
    return [{"input": _text_of_lines(each), "output": _text_of_lines(expected)} for each, expected in pairs]


def _text_of_lines(value: object) -> object:
    return "\n".join(map(str, value)) if isinstance(value, list) else value


def _assertions(text: str) -> Assertions:
    try:
        tree = ast.parse(text)
        source = _about_the_code(tree, text=text)
        code = compile(source, "<test>", "exec", dont_inherit=True)
        top = symtable.symtable(source, "<test>", "exec")
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"the test is not Python ({error!s:.100}): {text:.200}") from None
    tables = [top]
    for table in tables:
        tables.extend(table.get_children())
    bound = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    used = {
        symbol.get_name()
        for table in tables
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (table is top or symbol.is_global())
    }
    wanted = frozenset(used - bound)
    if _passes_a_function(tree, names=wanted):
        raise ValueError(f"the test passes a function to the code, which only plain values reach: {text:.200}")
    return Assertions(text=text, code=code, wanted=wanted, uncalled=frozenset(bound - used))


def _about_the_code(tree: ast.Module, *, text: str) -> str:
    """Return a test without the import of the code itself, and without what starts a test runner.

    Raises ValueError for an import that fails for every code.
    """
    kept = []
    for node in tree.body:
        match node:
            case ast.ImportFrom(module=str() as module) if module in _MODULES_OF_THE_CODE:
                continue
            case ast.ImportFrom(module=module, names=[ast.alias(name=name, asname=None)]) if module == name:
                if not _is_installed(name):
                    continue  # from two_sum import two_sum
            case ast.Expr(ast.Call(func=ast.Attribute(value=ast.Name(id="unittest" | "pytest"), attr="main"))):
                continue
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        missing = [module for module in modules if not _is_installed(module.partition(".")[0])]
        if missing:
            raise ValueError(f"the test imports '{missing[0]}', which is not installed: {text:.200}")
        kept.append(node)
    return text if len(kept) == len(tree.body) else ast.unparse(ast.Module(kept, []))


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _passes_a_function(tree: ast.Module, *, names: Collection[str]) -> bool:
    """Return whether something of these names, other than a builtin, is called with a function.

    Found here, where the code has no part in it: a test of that kind is the row's fault, whatever the code does.
    """
    nodes = list(ast.walk(tree))
    variables = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    variables |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    functions |= {name for name in vars(builtins) if callable(vars(builtins)[name])}
    for node in nodes:
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in names and not hasattr(builtins, name):
                for value in (*node.args, *(keyword.value for keyword in node.keywords)):
                    if isinstance(value, ast.Lambda):
                        return True
                    if isinstance(value, ast.Name) and value.id in functions - variables:
                        return True
    return False
