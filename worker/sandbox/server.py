"""Outside: one confined server process, through which batches of rows run under deadlines.

Results are untrusted: every frame is checked, and a process that sends more results than rows is killed.
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
REPLY_TIMEOUT_S = 2.0
_BOOT = "import sys; sys.path.insert(0, {root!r}); from worker.sandbox.host import main; main()"
_FLAGS = ("-P", "-s", "-S", "-B", "-X", "utf8", "-c")  # not -I: it ignores PYTHONHASHSEED
# Bare: nothing of the owner's. The hash seed makes the order of sets, and rewards that depend on it, repeatable.
# Threads cannot be started in the sandbox, and a server that has some could not be forked.
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": "", "HOME": "/"} | _ONE_THREAD


class End(StrEnum):
    """How a batch's process ended, with regard to the rows without a record."""

    COMPLETE = "complete"
    """Every row has its record."""
    FAULTY_ROW = "faulty_row"
    """The process answered a faulty row and exited; the rows after it must be sent again."""
    ROW_TIMEOUT = "row_timeout"
    """The row in progress passed its deadline."""
    BATCH_TIMEOUT = "batch_timeout"
    """The process passed the batch's deadline after at least one row; the row in progress is not to blame."""
    CRASHED = "crashed"
    """The process ended in the middle of a row."""
    INVALID_RESULTS = "invalid_results"
    """The process wrote invalid results: none of its rows is trusted."""
    CALL_FAILED = "call_failed"
    """One call for all rows returned no scores; they must be sent one by one."""
    SERVER_LOST = "server_lost"
    """The server itself died; no row is to blame."""


@dataclass(frozen=True, slots=True)
class GradingAttempt:
    """Result of one batch: `records` of the first rows, in order; `end` and `reason` concern the row after them."""

    records: list[ScoreRecord]
    end: End
    reason: str = ""
    if_stopped: ScoreRecord | None = None
    """The record that the verifier set for the row after them, in case that its process is stopped."""


class _Results:
    """Records of one batch as they arrive. `if_stopped`: what the verifier set for the row in progress."""

    def __init__(self, *, count: int, may_be_stopped: bool) -> None:
        self.count = count
        self.records: list[ScoreRecord] = []
        self.if_stopped: ScoreRecord | None = None
        self._may_be_stopped = may_be_stopped
        self._ready = False

    @property
    def complete(self) -> bool:
        return len(self.records) == self.count

    def before_last(self) -> list[ScoreRecord]:
        """Return the records without that of the last row."""
        return self.records[: self.count - 1]

    def take(self, kind: bytes, body: bytes) -> bool:
        """Take one frame. Returns whether the clock of a row starts with it. Raises FrameError."""
        if not self._ready and kind == frames.READY:
            self._ready = True
            return True
        if not self._ready or self.complete:
            raise frames.FrameError("more results than rows")
        if kind == frames.IF_STOPPED and self._may_be_stopped:
            self.if_stopped = decode(frames.NUMBER, body)
            return False
        self.records.append(decode(kind, body))
        self.if_stopped = None
        return True


@dataclass(frozen=True, slots=True)
class Confinement:
    """Confinement that a server reached: level (policy.LEVELS), Landlock's ABI (0: none), Python version."""

    level: int
    landlock_abi: int
    python: str

    @property
    def sentence(self) -> str:
        return LEVELS[self.level]


class SandboxServer:
    """One server process and the socket to it. Not thread-safe: pool.py serialises access."""

    def __init__(self, limits: SandboxLimits, *, max_level: int, libraries: Libraries, preload: Sequence[str]) -> None:
        """Start the process, which imports `preload` and then confines itself; `confinement` waits until it is ready.

        Raises AppError(503) if it cannot be started.
        """
        self._limits = limits
        self._sequence = 0
        self._pending_sequence: int | None = None
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
        self._control, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, *_FLAGS, _BOOT.format(root=str(ROOT)), json.dumps(settings)]
        try:
            with peer:
                self._process = subprocess.Popen(
                    command,
                    stdin=peer.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=_ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,
                )
        except OSError as error:
            self._control.close()
            raise _unavailable(str(error)) from error
        self._confinement: Confinement | None = None

    @property
    def confinement(self) -> Confinement:
        """Wait for the server and return its confinement. Raises AppError(503) with its stderr if it does not start."""
        if self._confinement is None:
            self._confinement = self._wait_until_ready()
        return self._confinement

    def _wait_until_ready(self) -> Confinement:
        self._control.settimeout(self._limits.start_timeout_s)
        try:
            greeting = self._control.recv(4096)
        except (TimeoutError, ConnectionError):
            greeting = b""
        if not greeting:
            self._process.kill()
            details = self._stderr_tail()
            self.close()
            raise _unavailable(details or "no message")
        return Confinement(**json.loads(greeting))

    def _stderr_tail(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.read(65_536).decode(errors="replace").strip()[-2000:]

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(
        self, program: bytes, rows: Sequence[bytes], *, wait_for_exit: bool, runs_model_code: bool = False
    ) -> GradingAttempt:
        """Run one batch in one process. `program` and `rows` are lines of JSON without line ends.

        `wait_for_exit` waits until the process has exited, to see anything it writes after its last result.
        `runs_model_code` lets it ask for processes for model code.
        """
        self.batches += 1
        reading, writing = os.pipe()
        try:
            try:
                self._send(b"\n".join((program, *rows)), result=writing, runs_model_code=runs_model_code)
            finally:
                os.close(writing)
            results = _Results(count=len(rows), may_be_stopped=runs_model_code)
            return self._collect(reading, results=results, wait_for_exit=wait_for_exit)
        except OSError as error:
            return GradingAttempt([], End.SERVER_LOST, f"the sandbox's server died ({error})")
        finally:
            os.close(reading)

    def _send(self, batch: bytes, *, result: int, runs_model_code: bool) -> None:
        self._wait_for_status()
        self._sequence += 1
        source = os.memfd_create("batch")
        try:
            with open(source, "wb", closefd=False) as file:
                file.write(batch)
            request = host.REQUEST.pack(self._sequence, runs_model_code)
            socket.send_fds(self._control, [request], [source, result])
        finally:
            os.close(source)
        self._pending_sequence = self._sequence

    def _wait_for_status(self) -> tuple[int, int] | None:
        """Wait for the last child: (wait status, peak KiB). Raises OSError if the server died."""
        if self._pending_sequence is None:
            return None
        self._control.settimeout(REPLY_TIMEOUT_S)
        answer = self._control.recv(64)
        if len(answer) != host.REPLY.size:
            raise ConnectionError("it closed its socket")
        sequence, status, peak_kib = host.REPLY.unpack(answer)
        assert sequence == self._pending_sequence
        self._pending_sequence = None
        return status, peak_kib

    def _collect(self, reading: int, *, results: "_Results", wait_for_exit: bool) -> GradingAttempt:
        """Read until every row has its record, a deadline passes, or the process ends.

        Only a complete frame renews the row's deadline. With `wait_for_exit`, the last record is trusted only if the
        process exits normally, because the verifier itself may have written it.
        """
        reader = frames.FrameReader()
        poller = select.poll()
        poller.register(reading, select.POLLIN)
        now = time.monotonic()
        batch_deadline = now + self._limits.batch_timeout_s
        row_deadline = now + self._limits.row_timeout_s
        while True:
            deadline = min(row_deadline, batch_deadline)
            if not poller.poll(max(0.0, (deadline - time.monotonic()) * 1000)):
                self._kill()
                trusted = results.before_last() if wait_for_exit else results.records
                return self._timed_out(trusted, results=results, batch_over=batch_deadline < row_deadline)
            data = os.read(reading, 65_536)
            if not data:
                return self._exited(results, unfinished=reader.pending_bytes > 0)
            try:
                for kind, body in reader.feed(data):
                    if results.take(kind, body):
                        row_deadline = time.monotonic() + self._limits.row_timeout_s
            except frames.FrameError as error:
                self._kill()
                return GradingAttempt([], End.INVALID_RESULTS, f"the verifier wrote to the result pipe: {error}")
            if results.complete and not wait_for_exit:
                return GradingAttempt(results.records, End.COMPLETE)

    def _timed_out(self, records: list[ScoreRecord], *, results: "_Results", batch_over: bool) -> GradingAttempt:
        if batch_over and records:
            return GradingAttempt(records, End.BATCH_TIMEOUT)
        limit_s = self._limits.batch_timeout_s if batch_over else self._limits.row_timeout_s
        return GradingAttempt(records, End.ROW_TIMEOUT, f"stopped after {limit_s:g} s", results.if_stopped)

    def _exited(self, results: "_Results", *, unfinished: bool) -> GradingAttempt:
        records = results.records
        try:
            exit_info = self._wait_for_status()
        except TimeoutError:
            self._kill()
            reason = "the verifier closed the result pipe and went on"
            return GradingAttempt(results.before_last(), End.CRASHED, reason, results.if_stopped)
        assert exit_info is not None
        status, peak_kib = exit_info
        code = os.waitstatus_to_exitcode(status)
        if not unfinished and code == 0 and results.complete:
            return GradingAttempt(records, End.COMPLETE)
        if not unfinished and code == host.EXIT_AFTER_FAULTY_ROW and records:
            return GradingAttempt(records, End.COMPLETE if results.complete else End.FAULTY_ROW)
        if not unfinished and code == host.EXIT_CALL_FAILED and results.count > 1 and not records:
            return GradingAttempt([], End.CALL_FAILED)
        reason = _death_reason(status, peak_kib=peak_kib)
        return GradingAttempt(results.before_last(), End.CRASHED, reason, results.if_stopped)

    def _kill(self) -> None:
        """Kill the child, not the server, and wait until it has exited."""
        self._control.send(host.KILL)
        self._wait_for_status()

    def close(self) -> None:
        """Kill the server and, through PR_SET_PDEATHSIG, its child."""
        self._control.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def abandon(self) -> None:
        """Close the descriptors in a fork of the owner, without touching the owner's server."""
        self._control.close()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._process.returncode = 0  # not our child: never waited for here


def _unavailable(details: str) -> AppError:
    return AppError(f"The sandbox did not start: {details}", status=503, code="sandbox_unavailable")


def _death_reason(status: int, *, peak_kib: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        hints: dict[int, str] = {
            signal.SIGSYS: ": a forbidden system call",
            signal.SIGSEGV: ": a crash in C code, or recursion deeper than the stack",
            signal.SIGKILL: ": out of time or memory",
        }
        hint = hints.get(number, "")
        return f"the verifier's process was killed by {name}{hint} (peak memory {peak_kib // 1024} MiB)"
    return f"the verifier exited its process (exit status {os.WEXITSTATUS(status)})"
