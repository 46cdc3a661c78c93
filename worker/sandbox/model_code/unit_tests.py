"""Inside: unit tests, which run in the verifier's process and reach the code by its values alone."""

import builtins
import importlib
import inspect
import sys
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import FunctionType
from typing import Any

from worker.sandbox.model_code.blocks import program_of
from worker.sandbox.model_code.program import CodeError, Program, Remote
from worker.sandbox.model_code.tests import CANDIDATE, CHECK, Assertions, Dialogue, prepared, root_of
from worker.sandbox.shown import describe

LOAD_S = 2.0
"""Seconds for the code itself, which may import libraries, before its first test."""
_FAULT_CHARS = 200


def run_tests(
    source: str, tests: Sequence[object], *, seconds: float, entry_point: str | None = None
) -> Iterator[str | None]:
    """Run tests of code that a model wrote: yield for each why the code fails it, or None.

    A test is Python (`assert add(1, 2) == 3`), or `{"input": text, "output": text}` of a program, each within
    `seconds`. A test that defines `check(candidate)` gets what `entry_point` names; functions `test_…` and test cases
    that it only defines are run. Raises ValueError for a test that is at fault itself.
    """
    ready = [prepared(test) for test in tests]
    module = _Module(source)
    for test in ready:
        match test:
            case Dialogue():
                yield _dialogue_fault(source, test, seconds=seconds)
            case Assertions():
                yield module.fault(test, seconds=seconds, entry_point=entry_point)


def program_for(text: str, tests: Sequence[object], *, entry_point: str | None = None) -> str:
    """Return the code in a text that these tests are about. Raises ValueError for a test that is at fault itself."""
    ready = [prepared(test) for test in tests]
    names = (test.names(entry_point=entry_point) for test in ready if isinstance(test, Assertions))
    return program_of(text, names=frozenset[str]().union(*names))


class _Module:
    """Code loaded as a module. A test that stops its process leaves the next test to a new one."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._program: Program | None = None
        self._load_fault: str | None = None

    def fault(self, test: Assertions, *, seconds: float, entry_point: str | None) -> str | None:
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
            if CANDIDATE in test.wanted and entry_point:
                names[CANDIDATE] = _candidate(program, entry_point)
            exec(test.code, names)  # noqa: S102 - the row's test; the code is in another process
            for run in _left_to_run(test, names, program=program, entry_point=entry_point):
                run()
        except _TestFaultError as error:
            raise ValueError(f"{error}: {test.text:.200}") from None
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


class _TestFaultError(Exception):
    """A test that cannot run, whatever the code is."""


def _of_code(program: Program, test: Assertions, *, entry_point: str | None) -> dict[str, Any]:
    """Return what the test uses of the code: objects there, and values.

    A name of a builtin or of a module of the standard library means just that, so that the code cannot answer for
    `abs` or `math`, unless it is what the test is about: the entry point, or all that the test uses of the code.
    """
    names = test.wanted & program.names
    shared = {name for name in names if hasattr(builtins, name) or name in sys.stdlib_module_names}
    if entry_point:
        names -= shared - {root_of(entry_point)}
    elif names != shared:
        names -= shared
    return {name: getattr(program.module, name) for name in sorted(names)}


def _candidate(program: Program, entry_point: str) -> Any:
    """Return what an entry point names: `add`, `Solution().add`, or a method of the one class `Solution`."""
    if root_of(entry_point) not in program.names and "Solution" in program.names:
        entry_point = f"Solution().{entry_point}"
    found: Any = program.module
    for part in entry_point.split("."):
        found = getattr(found, part.removesuffix("()"))
        found = found() if part.endswith("()") else found
    return found


def _left_to_run(
    test: Assertions, names: Mapping[str, Any], *, program: Program, entry_point: str | None
) -> Iterator[Callable[[], Any]]:
    """Yield what a test only defines, for a runner to call: `check`, functions `test_…`, test cases."""
    for name, value in [(name, value) for name, value in names.items() if name in test.uncalled]:
        if name == CHECK and entry_point:
            yield partial(value, _candidate(program, entry_point))
        elif isinstance(value, FunctionType) and name.startswith("test"):
            if inspect.signature(value).parameters:
                raise _TestFaultError(f"the test '{name}' has parameters, which nothing fills")
            yield value
        elif isinstance(value, type) and issubclass(value, unittest.TestCase):
            yield partial(_run_cases, value)
        elif isinstance(value, type) and name.startswith("Test"):
            yield from (getattr(value(), method) for method in vars(value) if method.startswith("test"))


def _run_cases(cases: type[unittest.TestCase]) -> None:
    with suppress(unittest.SkipTest):
        unittest.defaultTestLoader.loadTestsFromTestCase(cases).debug()


def _modules(test: Assertions, *, besides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the modules of the standard library that the test uses without importing them."""
    wanted = (name for name in test.wanted if name in sys.stdlib_module_names and not hasattr(builtins, name))
    return {name: importlib.import_module(name) for name in wanted if name not in besides}


def _shown(error: BaseException) -> str:
    return (str(error) if type(error) is CodeError else describe(error, source=""))[:_FAULT_CHARS]


def _dialogue_fault(source: str, test: Dialogue, *, seconds: float) -> str | None:
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
