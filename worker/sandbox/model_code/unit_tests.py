"""Inside: unit tests, which run in the verifier's process and reach the code by its values alone."""

import ast
import builtins
import importlib
import json
import symtable
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

from worker.sandbox.model_code.program import CodeError, Program, Remote
from worker.sandbox.shown import describe

LOAD_S = 2.0
"""Seconds for the code itself, which may import libraries, before its first test."""
_FAULT_CHARS = 200
_CHECK = "check"


@dataclass(frozen=True, slots=True)
class _Assertions:
    """A test in Python. `wanted`: names that it uses and does not bind. `calls_check`: it only defines `check`."""

    text: str
    code: CodeType
    wanted: frozenset[str]
    calls_check: bool


@dataclass(frozen=True, slots=True)
class _Dialogue:
    """A test of a program: what it reads, and what it must print."""

    given: str
    printed: str


def run_tests(
    source: str, tests: Sequence[object], *, seconds: float, entry_point: str | None = None
) -> Iterator[str | None]:
    """Run tests of code that a model wrote: yield for each why the code fails it, or None.

    A test is Python (`assert add(1, 2) == 3`), or `{"input": text, "output": text}` of a program, each within
    `seconds`. A test that defines `check(candidate)` gets the function named `entry_point`. Raises ValueError for a
    test that is at fault itself.
    """
    prepared = [_prepared(test) for test in tests]
    module = _Module(source)
    for test in prepared:
        match test:
            case _Dialogue():
                yield _dialogue_fault(source, test, seconds=seconds)
            case _Assertions():
                yield module.fault(test, seconds=seconds, entry_point=entry_point)


def tests_of(tests: object) -> list[object]:
    """Return the tests of a column: a list, JSON of one, or the text of a single test. Raises ValueError for none."""
    if isinstance(tests, str):
        try:
            tests = json.loads(tests)
        except ValueError:
            return [tests]
    if not isinstance(tests, list) or not tests:
        raise ValueError("the tests must be a list with at least one test")
    return tests


def _prepared(test: object) -> _Assertions | _Dialogue:
    match test:
        case {"input": str() as given, "output": str() as printed}:
            return _Dialogue(given=given, printed=printed)
        case str():
            return _assertions(test)
    raise ValueError(f'a test must be Python, or {{"input": text, "output": text}}, not {test!r:.100}')


def _assertions(text: str) -> _Assertions:
    try:
        tree = ast.parse(text)
        code = compile(tree, "<test>", "exec", dont_inherit=True)
        top = symtable.symtable(text, "<test>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
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
    return _Assertions(text=text, code=code, wanted=wanted, calls_check=_CHECK in bound - used)


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


class _Module:
    """Code loaded as a module. A test that stops its process leaves the next test to a new one."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._program: Program | None = None
        self._load_fault: str | None = None

    def fault(self, test: _Assertions, *, seconds: float, entry_point: str | None) -> str | None:
        program = self._loaded()
        if program is None:
            return self._load_fault
        program.allow(seconds)
        of_code: dict[str, Any] = {}
        asked, fault = 0, None
        try:
            of_code = _of_code(program, test, entry_point=entry_point)
            asked = program.asked
            names = of_code | _modules(test, besides=of_code)
            exec(test.code, names)  # noqa: S102 - the row's test; the code is in another process
            if test.calls_check and entry_point:
                names[_CHECK](getattr(program.module, entry_point))
        except BaseException as error:  # noqa: BLE001 - a test that fails in any way
            fault = _shown(error)
        if program.stopped:
            return program.stopped
        uses_code = program.asked > asked or not all(isinstance(value, Remote) for value in of_code.values())
        if fault is None and not uses_code:
            raise ValueError(f"the test never uses the code: {test.text:.200}")
        return fault

    def _loaded(self) -> Program | None:
        if self._load_fault is None and (self._program is None or self._program.stopped):
            try:
                self._program = Program(self._source, seconds=LOAD_S)
            except CodeError as error:
                self._load_fault = _shown(error)
        return None if self._load_fault else self._program


def _of_code(program: Program, test: _Assertions, *, entry_point: str | None) -> dict[str, Any]:
    """Return what the test uses of the code: objects there, and values.

    A name of a builtin or of a module of the standard library means just that, so that the code cannot answer for
    `abs` or `math`, unless it is what the test is about: the entry point, or all that the test uses of the code.
    """
    names = test.wanted & program.names
    shared = {name for name in names if hasattr(builtins, name) or name in sys.stdlib_module_names}
    if entry_point:
        names -= shared - {entry_point}
    elif names != shared:
        names -= shared
    return {name: getattr(program.module, name) for name in sorted(names)}


def _modules(test: _Assertions, *, besides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the modules of the standard library that the test uses without importing them."""
    wanted = (name for name in test.wanted if name in sys.stdlib_module_names and not hasattr(builtins, name))
    return {name: importlib.import_module(name) for name in wanted if name not in besides}


def _shown(error: BaseException) -> str:
    return (str(error) if type(error) is CodeError else describe(error, source=""))[:_FAULT_CHARS]


def _dialogue_fault(source: str, test: _Dialogue, *, seconds: float) -> str | None:
    try:
        with Program(source, stdin=test.given, seconds=seconds, main=True) as program:
            printed = program.output
    except CodeError as error:
        return _shown(error)
    if _lines(printed) == _lines(test.printed):
        return None
    return f"it printed {printed[:80]!r}, not {test.printed[:80]!r}"


def _lines(text: str) -> list[str]:
    """Split into lines without the spaces at their ends and the empty lines at the end of the text."""
    return [line.rstrip() for line in text.rstrip().splitlines()]
