"""Inside: the process that runs what a model wrote, and nothing of the verifier's.

It is forked from the server, which never holds a row, so that no test and no expected value is in its memory. Whatever
the code does to this process, what leaves it is bytes that `wire` reads as values. Descriptors: 0 its input, 1 what
it printed, 2 nowhere, 3 results, 4 requests.
"""

import atexit
import bisect
import builtins
import collections
import functools
import heapq
import io
import itertools
import math
import operator
import os
import random
import re
import string
import sys
import typing
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

from worker.sandbox import event_loop, python_program
from worker.sandbox.model_code import wire

VALUES_FD, CALLS_FD = 3, 4
FILENAME = "<completion>"
_MESSAGE_CHARS = 300
_GIVEN_TO_SOLUTIONS = (random, string, math, bisect, heapq, itertools, functools, collections)
"""What LeetCode imports before a solution; of equal names the last counts."""

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda target, /, *arguments, **named: target(*arguments, **named),
    "get": getattr,
    "set": setattr,
    "item": operator.getitem,
    "put": operator.setitem,
    "length": len,
    "iterate": iter,
    "next": next,
    "text": str,
    "truth": bool,
}
"""What a verifier can do with an object that stays here."""


def _names_given(source: str) -> dict[str, Any]:
    """Return what code may use without importing it, as in public tasks: types, and to a class `Solution` more.

    Built-in names stay as they are.
    """
    names = {name: getattr(typing, name) for name in typing.__all__}
    if re.search(r"^class Solution\b", source, re.MULTILINE):
        for module in _GIVEN_TO_SOLUTIONS:
            public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
            names |= {module.__name__: module}
            names |= {name: value for name, value in public.items() if not hasattr(builtins, name)}
    return names


class Code:
    """The module that the code is executed in, and the objects that the verifier knows by number (0: the module)."""

    def __init__(self) -> None:
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._printed_bytes = 0

    def load(self, source: str, stdin: str, main: bool) -> list[str]:
        """Execute the code as a module, or as a program. Returns the names that it defines."""
        name = "__main__" if main else "completion"
        module = sys.modules[name] = ModuleType(name)
        given = _names_given(source)
        vars(module).update(given)
        self._refer(module)
        self._open_streams(stdin)
        vars(builtins).update(exit=sys.exit, quit=sys.exit)  # which `site` would define
        python_program.seed(zlib.crc32(source.encode("utf-8", "replace")))
        if "asyncio" in source:
            event_loop.install()
        try:
            exec(compile(source, FILENAME, "exec", dont_inherit=True), vars(module))  # noqa: S102 - its purpose
        except SystemExit as end:
            if end.code not in (None, 0):
                raise
        if main:
            atexit._run_exitfuncs()
        defined = {name: value for name, value in vars(module).items() if not name.startswith("__")}
        return [name for name, value in defined.items() if name not in given or value is not given[name]]

    def perform(self, operation: str, arguments: list[Any], named: Mapping[str, Any]) -> dict[str, Any]:
        """Do what the verifier asks. A call that returns None also gives back its arguments that it has changed."""
        values = [wire.decode(argument, self._objects.__getitem__) for argument in arguments]
        keywords = {name: wire.decode(value, self._objects.__getitem__) for name, value in named.items()}
        result = _OPERATIONS[operation](*values, **keywords)
        fields: dict[str, Any] = {"value": self._encode(result)}
        if operation == "call" and result is None:
            after = [self._encode(value) for value in values]
            fields["changed"] = [
                [place, now] for place, (before, now) in enumerate(zip(arguments, after, strict=True)) if before != now
            ]
        return fields

    def printed(self) -> str:
        """Return what was printed since the last time."""
        for stream in (sys.stdout, sys.__stdout__):  # the code may have replaced the first, and kept the second
            with suppress(BaseException):
                stream.flush()  # type: ignore[union-attr]
        text = os.pread(1, wire.MAX_BYTES, self._printed_bytes)
        self._printed_bytes += len(text)
        return text.decode("utf-8", "replace")

    def _encode(self, value: Any) -> Any:
        return wire.encode(value, self._refer)

    def _refer(self, value: Any) -> int:
        number = self._numbers.setdefault(id(value), len(self._objects))
        if number == len(self._objects):
            self._objects.append(value)  # kept, so that no other object gets its id
        return number

    def _open_streams(self, stdin: str) -> None:
        os.write(0, stdin.encode("utf-8", "replace"))
        os.lseek(0, 0, os.SEEK_SET)
        streams: dict[str, io.BufferedReader | io.BufferedWriter] = {
            "stdin": io.BufferedReader(io.FileIO(0, closefd=False)),
            "stdout": io.BufferedWriter(io.FileIO(1, "w", closefd=False)),
            "stderr": io.BufferedWriter(io.FileIO(2, "w", closefd=False)),
        }
        for name, stream in streams.items():
            text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace")
            setattr(sys, name, text)
            setattr(sys, f"__{name}__", text)


def serve() -> None:
    """Load the code that the first request holds, then perform one request after the other until there are no more."""
    code = Code()
    first = wire.unpack(_read)
    _answer(code, lambda: {"value": code.load(first["source"], first["stdin"], first["main"])})
    while True:
        request = wire.unpack(_read)
        _answer(code, lambda: code.perform(*request))  # noqa: B023 - called before the next request


def _answer(code: Code, work: Callable[[], dict[str, Any]]) -> None:
    try:
        fields = work()
        message = wire.pack(fields | {"output": code.printed()})
    except BaseException as error:  # noqa: BLE001 - whatever the code raises is an answer
        message = wire.pack({"error": _described(error), "output": code.printed()[: wire.MAX_BYTES // 16]})
    while message:
        message = message[os.write(VALUES_FD, message) :]


def _described(error: BaseException) -> list[str]:
    """Return the builtin class of an exception, the name of its own class, and its text."""
    text = ""
    with suppress(BaseException):
        text = str(error)[:_MESSAGE_CHARS]
    builtin = next(base for base in type(error).__mro__ if base.__module__ == "builtins")
    return [builtin.__name__, type(error).__name__, text]


def _read(size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(CALLS_FD, size - len(parts))
        if not part:
            os._exit(0)  # the verifier needs no more
        parts += part
    return bytes(parts)
