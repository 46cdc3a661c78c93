"""Inside: a process of model code, as the verifier that asked for it sees it: messages, a time limit, an end."""

import os
import select
import signal
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

from worker.sandbox.model_code import wire

START, END = b"S", b"E"
"""What a verifier asks of the server: a new process, which ends the one before it (the answer is its id, `STARTED`,
with the descriptors of its requests and of its results), and its end (the answer is `STATUS`)."""
STARTED, STATUS = struct.Struct("!i"), struct.Struct("!i")
WALL_FACTOR = 4
"""Seconds that a process may take for each second of its limit: it may wait for a processor, but not sleep for long."""
_SHORTEST_WAIT_S = 0.01
_SAFE_WRITE = select.PIPE_BUF
"""Bytes that a pipe takes without blocking once it is ready."""

_channel: socket.socket | None = None


class StoppedError(Exception):
    """The process is gone; the text says why."""


def connect(channel: socket.socket) -> None:
    """Ask the server through this socket."""
    global _channel
    _channel = channel


def _server() -> socket.socket:
    if _channel is None:
        raise RuntimeError("a process for the code cannot be started: the verifier must `import model_code` by name")
    return _channel


@dataclass(frozen=True, slots=True)
class Limit:
    """Until when a process may work: its own processor time, so that other load fails no code, and the clock."""

    processor: float
    clock: float

    def left(self, used: float) -> float:
        """Return the seconds that are certainly left, after it has used so much processor time."""
        return min(self.processor - used, self.clock - time.monotonic())


class Process:
    """One process. Each of its methods but `limit` and `end` raises StoppedError once it is gone."""

    def __init__(self) -> None:
        server = _server()
        os.write(server.fileno(), START)
        answer, descriptors, _, _ = socket.recv_fds(server, STARTED.size, 2)
        if len(descriptors) != 2:
            raise RuntimeError("the sandbox could not start a process for the code")
        (process,) = STARTED.unpack(answer)
        self._processor_clock = (~process << 3) | 2  # as clock_getcpuclockid(3) makes it
        self._calls, self._values = descriptors
        self._stopped: str | None = None

    def limit(self, seconds: float) -> Limit:
        """Return the limit of so many seconds from now."""
        return Limit(self._processor_s() + seconds, time.monotonic() + WALL_FACTOR * seconds)

    def ask(self, message: bytes, *, limit: Limit) -> Any:
        """Send a message and return the JSON of the answer. Raises WireError if the answer is none."""
        if self._stopped is not None:
            raise StoppedError(self._stopped)
        if _polled(self._values, select.POLLIN, seconds=0.0) and self._part(1):
            raise self._gone("the code was stopped: it wrote a result that was not asked for")
        self._write(message, limit=limit)
        return wire.unpack(lambda size: self._read(size, limit=limit))

    def end(self, reason: str | None = None) -> str:
        """End the process, and return why it is gone: what happened before, or `reason`, or the status of its exit."""
        if self._stopped is None:
            os.close(self._calls)
            os.close(self._values)
            server = _server()
            os.write(server.fileno(), END)
            (status,) = STATUS.unpack(os.read(server.fileno(), STATUS.size))
            self._stopped = reason or _exit_reason(status)
        return self._stopped

    def _write(self, message: bytes, *, limit: Limit) -> None:
        left = memoryview(message)
        while left:
            self._wait(self._calls, select.POLLOUT, limit=limit)
            try:
                left = left[os.write(self._calls, left[:_SAFE_WRITE]) :]
            except BrokenPipeError:
                raise self._gone() from None

    def _read(self, size: int, *, limit: Limit) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._wait(self._values, select.POLLIN, limit=limit)
            data += self._part(size - len(data))
        return bytes(data)

    def _part(self, size: int) -> bytes:
        part = os.read(self._values, size)
        if not part:
            raise self._gone()
        return part

    def _wait(self, descriptor: int, event: int, *, limit: Limit) -> None:
        if not self._ready(descriptor, event, limit=limit):
            raise self._gone("the code was stopped: its time was over")

    def _ready(self, descriptor: int, event: int, *, limit: Limit) -> bool:
        while (left := limit.left(self._processor_s())) > 0:
            if _polled(descriptor, event, seconds=max(left, _SHORTEST_WAIT_S)):
                return True
        return _polled(descriptor, event, seconds=0.0)

    def _processor_s(self) -> float:
        """Return the processor time that it has used; 0 once it has ended."""
        try:
            return time.clock_gettime(self._processor_clock)
        except OSError:
            return 0.0

    def _gone(self, reason: str | None = None) -> StoppedError:
        return StoppedError(self.end(reason))


def _polled(descriptor: int, event: int, *, seconds: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, event)
    return bool(poller.poll(seconds * 1000))


def _exit_reason(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"the code ended its process (exit status {code})"
    known = {number.value: number.name for number in signal.Signals}
    return f"the process of the code was killed ({known.get(-code, f'signal {-code}')})"
