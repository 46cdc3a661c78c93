"""Inside: a Python verifier: `{"source", "entries", "batched", "alone", "messages"}`.

The module is executed for each call, and what its entries are bound to then is called (callables.py), with texts or
with messages (read_as.py). The scores of several entries are summed. `batched`: they may take all rows in one call;
`alone`: if they do not, each row needs a process.
"""

import builtins
import random
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from json import loads
from time import perf_counter
from types import ModuleType
from typing import Any
from zlib import crc32

from backend.verifiers.calls import Call
from backend.verifiers.signatures import REFERENCE_COLUMNS
from worker.sandbox import event_loop, scratch, stand_ins, values
from worker.sandbox.callables import Bound, bound_calls
from worker.sandbox.read_as import WatchedMessage, WatchedText, watching_isinstance
from worker.sandbox.scorers import GradeError
from worker.sandbox.scores import (
    FATAL_ERRORS,
    CallFailed,
    FaultyRow,
    TakesNoBatch,
    WrongCountError,
    error_frame,
    ms_since,
    scores_of,
    summed,
    value_frame,
)
from worker.sandbox.shown import FILENAME, Capture, describe

_BUILTINS = dict(vars(builtins))
_MODULE = "verifier"
_NAMED = re.compile(r"""["'](\w+)["']""")
_BLANK = " "
"""Stands for an empty text while it is found out how it is read, because nothing of an empty text is looked up."""

Rows = Sequence[Mapping[str, Any]]


def prepare(program: Mapping[str, Any]) -> Callable[[Sequence[bytes]], Iterator[bytes]]:
    """Return a function from the lines of a batch to their frames."""
    source = program["source"]
    try:
        code = compile(source, FILENAME, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # not found by parsing alone
        refusal = error_frame(describe(error, source=source), ms=0.0)
        return lambda lines: iter([refusal] * len(lines))
    verifier = _Verifier(program, code)

    def one_by_one(lines: Sequence[bytes]) -> Iterator[bytes]:
        return (frame for line in lines for frame in verifier.grade([line]))

    def batched(lines: Sequence[bytes]) -> Iterator[bytes]:
        try:
            return iter(verifier.grade(lines))
        except TakesNoBatch:
            if program["alone"]:
                raise
            return one_by_one(lines)

    return batched if program["batched"] else one_by_one


class _Verifier:
    """A compiled verifier, and the namespace of its latest execution."""

    def __init__(self, program: Mapping[str, Any], code: Any) -> None:
        self._program = program
        self._code = code
        self._named = frozenset(REFERENCE_COLUMNS) & {*_NAMED.findall(program["source"])}
        self._namespace: dict[str, Any] = {}
        self._capture = Capture()
        sys.stdout = sys.stderr = self._capture
        scratch.install()
        _BUILTINS["open"] = builtins.open
        if stand_ins.ROOT in program["source"]:
            stand_ins.install()
        if event_loop.LIBRARY in program["source"]:
            event_loop.install()

    def grade(self, lines: Sequence[bytes]) -> list[bytes]:
        """Grade rows in one call. Raises CallFailed if they are to be graded one by one."""
        self._capture.clear()
        start = perf_counter()
        try:
            return self._grade(lines)
        except WrongCountError as error:  # not retried row by row: for one row the same list might look right
            return [error_frame(str(error), ms=ms_since(start) / len(lines))] * len(lines)
        except GradeError as error:
            fatal, reason = False, str(error)
        except CallFailed:
            raise
        except BaseException as error:  # noqa: BLE001 - the edge of the verifier: becomes its record
            fatal, reason = isinstance(error, FATAL_ERRORS), describe(error, source=self._program["source"])
        if len(lines) > 1:
            raise CallFailed
        failed = error_frame(reason, ms=ms_since(start), stdout=self._capture.text())
        if fatal:
            raise FaultyRow(failed) from None
        return [failed]

    def _grade(self, lines: Sequence[bytes]) -> list[bytes]:
        rows = [loads(line) for line in lines]
        seed_number = crc32(b"\n".join(lines))
        if not self._program["messages"]:
            return self._called(rows, seed_number)
        WatchedText.forget()
        # a blank stood for an empty text, and `type` tells a watched text from another
        settled = all(row["output_text"] for row in rows) and "type(" not in self._program["source"]
        scored = self._tried(rows, seed_number, chat=False)
        if scored is None and not WatchedText.read_as_messages:
            self._tried(rows, seed_number, chat=True)
        elif scored is not None and settled and not WatchedText.read_as_messages:
            return scored
        self._capture.clear()
        return self._called(rows, seed_number, chat=WatchedText.read_as_messages)

    def _tried(self, rows: Rows, seed_number: int, *, chat: bool) -> list[bytes] | None:
        """Call it with what notes how it is read; None if that fails."""
        try:
            return self._called(rows, seed_number, chat=chat, watch=True)
        except FATAL_ERRORS:
            raise
        except Exception:  # noqa: BLE001 - the call that counts raises it again
            return None

    def _called(self, rows: Rows, seed_number: int, *, chat: bool = False, watch: bool = False) -> list[bytes]:
        start = perf_counter()
        try:
            calls = self._load(seed_number, watch=watch)
            if not calls[0].call.signature.columns and len(rows) > 1:
                raise TakesNoBatch
            arguments = partial(_arguments, rows=rows, named=self._named, chat=chat, watch=watch)
            returned = [_returned(bound, arguments(bound.call), rows) for bound in calls]
        finally:
            _restore_builtins()
        ms, text = ms_since(start) / len(rows), self._capture.text()
        score_key = calls[0].call.signature.score_key
        return [
            value_frame(summed(scores), ms=ms, stdout=text, score_key=score_key)
            for scores in zip(*returned, strict=True)
        ]

    def _load(self, seed_number: int, *, watch: bool) -> list[Bound]:
        """Execute the module again for each call, so that no row sees globals changed by another."""
        self._namespace.clear()  # functions and their globals form cycles, which would keep the last row's memory
        scratch.clear()
        seed(seed_number)
        own = {"isinstance": watching_isinstance} if watch else {}
        module = sys.modules[_MODULE] = ModuleType(_MODULE)  # where dataclasses and pickle look classes up
        self._namespace = vars(module)
        self._namespace |= {"__builtins__": builtins} | own
        exec(self._code, self._namespace)  # noqa: S102 - what the sandbox is for
        return bound_calls(self._namespace, self._program["entries"])


def _returned(bound: Bound, arguments: Mapping[str, Any], rows: Rows) -> Sequence[object]:
    """Call it and return a score for each row. Code of the verifier runs in the call, and in what it returns."""
    result = bound.target(**arguments)
    _restore_builtins()
    if hasattr(type(result), "__await__"):
        result = event_loop.run(result)
        _restore_builtins()
    if not bound.call.signature.columns:
        return [result]
    if hasattr(type(result), "__next__"):
        result = list(islice(result, len(rows) + 1))
        _restore_builtins()
    return scores_of(result, count=len(rows))


def _arguments(call: Call, *, rows: Rows, named: frozenset[str], chat: bool, watch: bool) -> dict[str, Any]:
    """Build the arguments: values of the row, or lists of them with the requested columns.

    `named`: columns of the reference that the source names, for a function that takes any column.
    """
    value = partial(_watched if watch else values.value, chat=chat)
    try:
        if not call.signature.columns:
            return {name: value(key, rows[0]) for name, key in call.arguments.items()}
        arguments: dict[str, Any] = {name: [value(key, row) for row in rows] for name, key in call.arguments.items()}
        return arguments | _columns(call, rows, named=named, without=arguments)
    except values.MissingValueError as error:
        raise GradeError(str(error)) from None


def _watched(key: str, row: Mapping[str, Any], *, chat: bool) -> Any:
    given = values.value(key, row, chat=chat)
    if key not in values.MESSAGES:
        return given
    return [WatchedMessage(message) for message in given] if chat else WatchedText(given or _BLANK)


def _columns(call: Call, rows: Rows, *, named: frozenset[str], without: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the columns asked for, and with `**` all others."""
    columns = {name: [values.column(name, row, required=True) for row in rows] for name in call.required_columns}
    others = set(call.optional_columns)
    if call.every_column:
        others |= {*named, *(name for row in rows for name in row["item"])} - {
            "prompt",
            "completion",
            "prompts",
            "completions",
        }
    for name in sorted(others - without.keys() - columns.keys()):
        found = [values.column(name, row, required=False) for row in rows]
        if any(value is not None for value in found):
            columns[name] = found
    return columns


def seed(number: int) -> None:
    """Seed `random`, and numpy's global generator if numpy is loaded."""
    random.seed(number)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(number)


def _restore_builtins() -> None:
    """Undo what the verifier did to Python's own names, before anything here reads its result."""
    vars(builtins).update(_BUILTINS)
