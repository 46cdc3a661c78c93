"""Inside: the verifier's view of a program that a model wrote and that runs in another process."""

import builtins
from contextlib import suppress
from typing import Any

from worker.sandbox.model_code import wire
from worker.sandbox.model_code.process import Process, StoppedError

_TEXT_CHARS = 300
_running: "Program | None" = None


class CodeError(Exception):
    """The code raised an exception, its process is gone, or it was given or gave back more than can cross.

    If the code raised an exception of a builtin class, or of a subclass, this is one of that class too. Only an
    iterator raises StopIteration.
    """


class CannotSendError(TypeError):
    """The verifier's own value cannot be sent to the code."""


class Program:
    """Code of a model, loaded in a process of its own. One runs at a time: a new one ends the one before it.

    `names`: what the code defines. `module`: its namespace, a `Remote`. `output`: what it has printed so far.
    `stopped`: why its process is gone, or None. `asked`: how many operations it was asked for.
    """

    def __init__(self, source: str, *, stdin: str = "", seconds: float = 1.0, main: bool = False) -> None:
        """Execute `source` in a new process, as a module or, if `main`, as a program that reads `stdin`.

        All that the process does may take `seconds` of processor time, until `allow` starts the clock again. Raises
        CodeError if the code fails.
        """
        global _running
        if _running is not None:
            _running.close()
        self.output = ""
        self.stopped: str | None = None
        self.asked = 0
        self._remotes: dict[int, Remote] = {}
        self.module = self._remote(0)
        self._process = Process()
        _running = self
        self.allow(seconds)
        try:
            names, _ = self._ask({"source": source, "stdin": stdin, "main": main})
        except CodeError:
            self.close()
            raise
        self.names = frozenset(name for name in names if type(name) is str) if type(names) is list else frozenset()

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def allow(self, seconds: float) -> None:
        """Let the process work for so many seconds of processor time from now, and four times as long by the clock."""
        self._limit = self._process.limit(seconds)

    def call(self, name: str, /, *arguments: Any, **named: Any) -> Any:
        """Call a function of the code. Raises CodeError if that fails."""
        return getattr(self.module, name)(*arguments, **named)

    def close(self) -> None:
        """End the process."""
        if self.stopped is None:
            self.stopped = self._process.end("the code was stopped: its program was closed")

    def perform(self, operation: str, /, *arguments: Any, **named: Any) -> Any:
        """Perform an operation of `child`: on a Remote, the first argument, with the others. Raises CodeError."""
        try:
            encoded = [wire.encode(argument, self._number) for argument in arguments]
            keywords = {name: wire.encode(argument, self._number) for name, argument in named.items()}
        except wire.WireError as error:
            raise CodeError(f"the arguments cannot be sent: {error}") from None
        self.asked += 1
        try:
            value, changed = self._ask([operation, encoded, keywords])
        except StopIteration as end:
            if operation == "next":
                raise
            raise CodeError(f"StopIteration: {end}") from None  # it would end a loop over calls, and the tests in it
        if operation == "call" and value is None:
            for place, now in changed:
                with suppress(IndexError, TypeError):
                    _replace(arguments[place], now)
        return value

    def _ask(self, message: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        """Send a message. Returns the value of the answer, and (place, new value) of each argument that has changed."""
        try:
            data = wire.pack(message)
        except wire.WireError as error:
            raise CodeError(f"the arguments cannot be sent: {error}") from None
        try:
            answer = self._process.ask(data, limit=self._limit)
            failure = self._printed_and_failure(answer)
            if failure is None:
                changed = [(place, self._decoded(now)) for place, now in answer.get("changed", ())]
                return self._decoded(answer["value"]), changed
        except StoppedError as error:
            self.stopped = str(error)
            raise CodeError(self.stopped) from None
        except (KeyError, TypeError, ValueError, AttributeError, MemoryError) as error:
            self.stopped = self._process.end(f"the code was stopped: its result cannot be read ({error!s:.100})")
            raise CodeError(self.stopped) from None
        raise failure

    def _printed_and_failure(self, answer: Any) -> CodeError | None:
        printed, failure = answer["output"], answer.get("error")
        self.output += printed
        print(end=printed)
        if failure is None:
            return None
        builtin, name, text = (part[:_TEXT_CHARS] for part in failure)
        return _failure(builtin, name=name, text=text)

    def _decoded(self, node: Any) -> Any:
        return wire.decode(node, self._remote)

    def _remote(self, number: object) -> "Remote":
        if type(number) is not int:
            raise wire.WireError("an object without a number")
        return self._remotes.setdefault(number, Remote(self, number))

    def _number(self, value: object) -> int:
        if isinstance(value, Remote) and value._program is self:
            return value._number
        kind = type(value).__name__
        raise CannotSendError(f"a value of type {kind:.60} cannot be sent to the code: only plain values can")


class Remote:
    """An object that stays in the process of the code: a function, an instance, an iterator.

    It equals only itself. What is done with it is done there, and the result comes back as a value.
    """

    __slots__ = ("_number", "_program")
    _number: int
    _program: Program

    def __init__(self, program: Program, number: int) -> None:
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._program.perform("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._program.perform("set", self, name, value)

    def __call__(self, /, *arguments: Any, **named: Any) -> Any:
        return self._program.perform("call", self, *arguments, **named)

    def __getitem__(self, key: Any) -> Any:
        return self._program.perform("item", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._program.perform("put", self, key, value)

    def __len__(self) -> Any:
        return self._program.perform("length", self)

    def __iter__(self) -> Any:
        return self._program.perform("iterate", self)

    def __next__(self) -> Any:
        return self._program.perform("next", self)

    def __str__(self) -> Any:
        return self._program.perform("text", self)

    def __bool__(self) -> Any:
        return self._program.perform("truth", self)

    def __repr__(self) -> str:
        return "<object of the code>"


def _failure(builtin: str, *, name: str, text: str) -> CodeError:
    """Return the exception for one that the code raised, of its builtin class."""
    known = getattr(builtins, builtin, None)
    if isinstance(known, type) and issubclass(known, Exception) and known is not Exception:
        with suppress(TypeError):  # a class that is made from more than a text
            raised: CodeError = type(name, (CodeError, known), {})(text)
            return raised
    return CodeError(f"{name}: {text}" if text else name)


def _replace(value: Any, now: Any) -> None:
    """Give a list, dict, set or bytearray of the verifier the content that the code gave it."""
    if type(value) is not type(now):
        return
    if type(value) in (list, bytearray):
        value[:] = now
    elif type(value) in (dict, set):
        value.clear()
        value.update(now)
