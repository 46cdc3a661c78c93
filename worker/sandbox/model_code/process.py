"""Inside: a process of model code, as the verifier that asked for it sees it: messages, a deadline, an end."""

import os
import select
import signal
import socket
import struct
import time
from typing import Any

from worker.sandbox.model_code import wire

START, END = b"S", b"E"
"""What a verifier asks of the server: a new process, which ends the one before it (the answer carries the descriptors
of its requests and of its results), and its end (the answer is `STATUS`)."""
STATUS = struct.Struct("!i")
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


class Process:
    """One process. Each of its methods but `end` raises StoppedError once it is gone."""

    def __init__(self) -> None:
        server = _server()
        os.write(server.fileno(), START)
        _, descriptors, _, _ = socket.recv_fds(server, len(START), 2)
        if len(descriptors) != 2:
            raise RuntimeError("the sandbox could not start a process for the code")
        self._calls, self._values = descriptors
        self._stopped: str | None = None

    def ask(self, message: bytes, *, deadline: float) -> Any:
        """Send a message and return the JSON of the answer. Raises WireError if the answer is none."""
        if self._stopped is not None:
            raise StoppedError(self._stopped)
        if self._ready(self._values, select.POLLIN, deadline=0.0) and self._part(1):
            raise self._gone("the code was stopped: it wrote a result that was not asked for")
        self._write(message, deadline=deadline)
        return wire.unpack(lambda size: self._read(size, deadline=deadline))

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

    def _write(self, message: bytes, *, deadline: float) -> None:
        left = memoryview(message)
        while left:
            self._wait(self._calls, select.POLLOUT, deadline=deadline)
            try:
                left = left[os.write(self._calls, left[:_SAFE_WRITE]) :]
            except BrokenPipeError:
                raise self._gone() from None

    def _read(self, size: int, *, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._wait(self._values, select.POLLIN, deadline=deadline)
            data += self._part(size - len(data))
        return bytes(data)

    def _part(self, size: int) -> bytes:
        part = os.read(self._values, size)
        if not part:
            raise self._gone()
        return part

    def _wait(self, descriptor: int, event: int, *, deadline: float) -> None:
        if not self._ready(descriptor, event, deadline=deadline):
            raise self._gone("the code was stopped: its time was over")

    def _ready(self, descriptor: int, event: int, *, deadline: float) -> bool:
        poller = select.poll()
        poller.register(descriptor, event)
        return bool(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))

    def _gone(self, reason: str | None = None) -> StoppedError:
        return StoppedError(self.end(reason))


def _exit_reason(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"the code ended its process (exit status {code})"
    known = {number.value: number.name for number in signal.Signals}
    return f"the process of the code was killed ({known.get(-code, f'signal {-code}')})"
