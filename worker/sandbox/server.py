"""Outside: one confined server process, and one batch of rows through it under deadlines.

What comes back is untrusted: every frame is checked, and a process that says more than it was asked is ended.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from backend.errors import AppError
from backend.verifiers.record import ScoreRecord
from worker.sandbox import frames, host
from worker.sandbox.environment import Libraries
from worker.sandbox.policy import LEVELS, SandboxLimits
from worker.sandbox.results import decode

ROOT = Path(__file__).parents[2]
ANSWER_TIMEOUT_S = 2.0
_BOOT = "import sys; sys.path.insert(0, {root!r}); from worker.sandbox.host import main; main()"
_FLAGS = ("-P", "-s", "-S", "-B", "-X", "utf8", "-c")  # not -I: it ignores PYTHONHASHSEED
# Bare: nothing of the owner's. The hash seed makes the order of sets, and so a reward that leans on it, repeatable.
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": "", "HOME": "/"}


class End(StrEnum):
    """How a batch's process ended, as far as the rows without a record are concerned."""

    COMPLETE = "complete"
    """Every row has its record."""
    LEFT = "left"
    """The process answered an odd row and left; the rows after it are to be sent again."""
    ROW_TIMEOUT = "row_timeout"
    """The row in progress passed its deadline."""
    BATCH_TIMEOUT = "batch_timeout"
    """The process passed the batch's deadline after at least one row; the row in progress is not to blame."""
    DIED = "died"
    """The process ended in the middle of a row."""
    FORGED = "forged"
    """The process wrote what no honest one writes: none of its rows is believed."""
    CALL_FAILED = "call_failed"
    """One call for all rows gave no scores; they are to be sent one by one."""
    SERVER_LOST = "server_lost"
    """The server itself has gone; no row is to blame."""


@dataclass(frozen=True, slots=True)
class GradingAttempt:
    """`records` of the first rows, in order; `end` and `reason` tell of the row after them."""

    records: list[ScoreRecord]
    end: End
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """What the server reached: its level (policy.LEVELS), Landlock's ABI (0: none), its Python."""

    level: int
    landlock_abi: int
    python: str

    @property
    def sentence(self) -> str:
        return LEVELS[self.level]


class SandboxServer:
    """One process and the socket to it. Not for two threads at once: pool.py sees to that."""

    def __init__(self, limits: SandboxLimits, *, max_level: int, libraries: Libraries, preload: Sequence[str]) -> None:
        """Starts it, to confine itself with `preload` imported before; it is up once `box` has been asked for.

        Raises AppError(503) where it cannot be started.
        """
        self._limits = limits
        self._sequence = 0
        self._awaited: int | None = None
        self.batches = 0
        folder = str(libraries.folder.resolve()) if libraries.folder else None
        settings = {
            "owner": os.getpid(),
            "root": str(ROOT),
            "libraries": folder,
            "preload": (*libraries.preload, *preload),
            "max_level": max_level,
            "memory_bytes": limits.memory_bytes,
            "cpu_s": int(limits.batch_timeout_s) + 2,
        }
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, *_FLAGS, _BOOT.format(root=str(ROOT)), json.dumps(settings)]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=_ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,
                )
        except OSError as error:
            self._control.close()
            raise _unavailable(str(error)) from error
        self._box: Box | None = None

    @property
    def box(self) -> Box:
        """What it reached, waited for. Raises AppError(503) with its last words where it does not come up."""
        if self._box is None:
            self._box = self._greeting()
        return self._box

    def _greeting(self) -> Box:
        self._control.settimeout(self._limits.start_timeout_s)
        try:
            hello = self._control.recv(4096)
        except (TimeoutError, ConnectionError):
            hello = b""
        if not hello:
            self._process.kill()
            words = self._last_words()
            self.close()
            raise _unavailable(words or "no message")
        return Box(**json.loads(hello))

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.read(65_536).decode(errors="replace").strip()[-2000:]

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, program: bytes, rows: Sequence[bytes], *, to_the_end: bool) -> GradingAttempt:
        """One batch in one process. `program` and `rows` are lines of JSON without their ends.

        `to_the_end` waits until the process has ended, so that nothing it writes after its last result goes unseen.
        """
        self.batches += 1
        reading, writing = os.pipe()
        try:
            try:
                self._send(b"\n".join((program, *rows)), result=writing)
            finally:
                os.close(writing)
            return self._collect(reading, count=len(rows), to_the_end=to_the_end)
        except OSError as error:
            return GradingAttempt([], End.SERVER_LOST, f"the sandbox's server has gone ({error})")
        finally:
            os.close(reading)

    def _send(self, batch: bytes, *, result: int) -> None:
        self._settle()
        self._sequence += 1
        source = os.memfd_create("batch")
        try:
            with open(source, "wb", closefd=False) as file:
                file.write(batch)
            socket.send_fds(self._control, [host.REQUEST.pack(self._sequence)], [source, result])
        finally:
            os.close(source)
        self._awaited = self._sequence

    def _settle(self) -> tuple[int, int] | None:
        """(wait status, peak KiB) of the last child, waited for. Raises OSError where the server has gone."""
        if self._awaited is None:
            return None
        self._control.settimeout(ANSWER_TIMEOUT_S)
        answer = self._control.recv(64)
        if len(answer) != host.ANSWER.size:
            raise ConnectionError("it closed its socket")
        sequence, status, peak_kib = host.ANSWER.unpack(answer)
        assert sequence == self._awaited
        self._awaited = None
        return status, peak_kib

    def _collect(self, reading: int, *, count: int, to_the_end: bool) -> GradingAttempt:
        """Reads until every row has its record, a deadline passes, or the process ends.

        A whole frame renews the row's deadline; bytes of one do not. `to_the_end` believes the last record only of a
        process that has ended as an honest one does, because what wrote it may have been the verifier.
        """
        reader = frames.FrameReader()
        records: list[ScoreRecord] = []
        waiting = select.poll()
        waiting.register(reading, select.POLLIN)
        ready = False
        now = time.monotonic()
        batch_deadline = now + self._limits.batch_timeout_s
        row_deadline = now + self._limits.row_timeout_s
        while True:
            deadline = min(row_deadline, batch_deadline)
            if not waiting.poll(max(0.0, (deadline - time.monotonic()) * 1000)):
                self._kill()
                believed = records[: count - 1] if to_the_end else records
                return self._out_of_time(believed, batch_over=batch_deadline < row_deadline)
            data = os.read(reading, 65_536)
            if not data:
                return self._ended(records, count=count, unfinished=reader.pending_bytes > 0)
            try:
                for kind, body in reader.feed(data):
                    if not ready and kind == frames.READY:
                        ready = True
                        row_deadline = time.monotonic() + self._limits.row_timeout_s
                        continue
                    if not ready or len(records) == count:
                        raise frames.FrameError("more results than rows")
                    records.append(decode(kind, body))
                    row_deadline = time.monotonic() + self._limits.row_timeout_s
            except frames.FrameError as error:
                self._kill()
                return GradingAttempt([], End.FORGED, f"the verifier wrote to the result pipe: {error}")
            if len(records) == count and not to_the_end:
                return GradingAttempt(records, End.COMPLETE)

    def _out_of_time(self, records: list[ScoreRecord], *, batch_over: bool) -> GradingAttempt:
        if batch_over and records:
            return GradingAttempt(records, End.BATCH_TIMEOUT)
        limit_s = self._limits.batch_timeout_s if batch_over else self._limits.row_timeout_s
        return GradingAttempt(records, End.ROW_TIMEOUT, f"stopped after {limit_s:g} s")

    def _ended(self, records: list[ScoreRecord], *, count: int, unfinished: bool) -> GradingAttempt:
        try:
            settled = self._settle()
        except TimeoutError:
            self._kill()
            return GradingAttempt(records[: count - 1], End.DIED, "the verifier closed the result pipe and went on")
        assert settled is not None
        status, peak_kib = settled
        code = os.waitstatus_to_exitcode(status)
        if not unfinished and code == 0 and len(records) == count:
            return GradingAttempt(records, End.COMPLETE)
        if not unfinished and code == host.LEFT_AFTER_ODD_ROW and records:
            return GradingAttempt(records, End.COMPLETE if len(records) == count else End.LEFT)
        if not unfinished and code == host.CALL_FAILED and count > 1 and not records:
            return GradingAttempt([], End.CALL_FAILED)
        return GradingAttempt(records[: count - 1], End.DIED, _cause_of_death(status, peak_kib=peak_kib))

    def _kill(self) -> None:
        """Ends the child, not the server; waits until it is gone."""
        self._control.send(host.KILL)
        self._settle()

    def close(self) -> None:
        """Ends the server and, through PR_SET_PDEATHSIG, its child."""
        self._control.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def abandon(self) -> None:
        """In a fork of the owner: lets go of descriptors and leaves the owner's server alone."""
        self._control.close()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._process.returncode = 0  # not our child: nobody waits for it here


def _unavailable(words: str) -> AppError:
    return AppError(f"The sandbox did not start: {words}", status=503, code="sandbox_unavailable")


def _cause_of_death(status: int, *, peak_kib: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        hints: dict[int, str] = {
            signal.SIGSYS: ": a forbidden system call",
            signal.SIGSEGV: ": a crash in C code, or recursion deeper than the stack",
            signal.SIGKILL: ": out of time or memory",
        }
        hint = hints.get(number, "")
        return f"the verifier's process was ended by {name}{hint} (peak memory {peak_kib // 1024} MiB)"
    return f"the verifier ended its own process (exit status {os.WEXITSTATUS(status)})"
