"""Inside: the server's part: forks a process for model code when a verifier asks for one, and ends it."""

import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from worker.sandbox.model_code import child
from worker.sandbox.model_code.process import END, START, STARTED, STATUS

Enter = Callable[[Sequence[int]], None]
"""Confine the calling process, with these descriptors as 0, 1 and so on."""


class Spawner:
    """The processes of model code of one verifier's process: one at a time."""

    def __init__(self, *, null: int, enter: Enter) -> None:
        self.server, self.verifier = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.server.setblocking(False)
        self._null = null
        self._enter = enter
        self._running: int | None = None

    def answer(self) -> bool:
        """Answer one request. False if there are no more: the verifier is gone, or does not read its answers."""
        try:
            request = os.read(self.server.fileno(), 1)
            if request == START:
                self._start()
            elif request == END:
                os.write(self.server.fileno(), STATUS.pack(self._end()))
        except OSError:
            return False
        return bool(request)

    def close(self) -> None:
        self._end()
        self.server.close()
        self.verifier.close()

    def _start(self) -> None:
        self._end()
        calls_of_child, calls = os.pipe()
        values, values_of_child = os.pipe()
        try:
            process = os.fork()
            if process == 0:
                try:
                    self._run(calls=calls_of_child, values=values_of_child)
                finally:
                    os._exit(1)
            self._running = process
            socket.send_fds(self.server, [STARTED.pack(process)], [calls, values])
        finally:
            for descriptor in (calls_of_child, calls, values, values_of_child):
                os.close(descriptor)

    def _run(self, *, calls: int, values: int) -> None:
        stdin, stdout = os.memfd_create("stdin"), os.memfd_create("stdout")
        self._enter((stdin, stdout, self._null, values, calls))
        child.serve()

    def _end(self) -> int:
        """Kill the process, and return its wait status: that of its own exit, if it had ended before."""
        if self._running is None:
            return 0
        with suppress(ProcessLookupError):
            os.kill(self._running, signal.SIGKILL)
        _, status = os.waitpid(self._running, 0)
        self._running = None
        return status
