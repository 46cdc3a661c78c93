"""Outside: `Sandbox`, the interface through which the rest of the application grades completions.

Renders templates, sends rows in batches through a confined server (server.py), and turns every end of a batch into one
record per row: only the row in progress is lost, the rest is sent again. A verifier that was considered plain but
forges results continues with one process per row. The server is replaced after a number of batches, after an
abnormal exit of a child, and when it has died.
"""

import json
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType

from backend.errors import AppError
from backend.settings import settings
from backend.verifiers import specs
from backend.verifiers.formula import Formula, FormulaError
from backend.verifiers.readouts import Readout, readout_of
from backend.verifiers.record import FORMULA_FAULT, ScoreRecord, ScoreStatus, error_record
from backend.verifiers.specs import Spec
from backend.verifiers.templates import Sample
from worker.sandbox import judge, programs
from worker.sandbox.environment import Libraries, installed_libraries, preload_of
from worker.sandbox.policy import MAX_LEVEL, REASON_CHARS, SandboxLimits
from worker.sandbox.server import Confinement, End, GradingAttempt, SandboxServer

__all__ = ["Sample", "Sandbox", "Spec"]

_ROW_FAILURES = {End.ROW_TIMEOUT, End.CRASHED, End.INVALID_RESULTS}
_MAX_LOSSES_PER_ROW = 2
_MAX_SERVERS = 4
"""Servers at a time, each with different libraries preloaded. The one without libraries is never evicted."""
BATCH_DEADLINE_ROWS = 12
"""Deadline of a process, in row deadlines."""


def deployed_limits() -> SandboxLimits:
    """Limits of this deployment (backend/settings.py)."""
    own = settings()
    return SandboxLimits(
        row_timeout_s=own.verifier_timeout_s,
        batch_timeout_s=own.verifier_timeout_s * BATCH_DEADLINE_ROWS,
        start_timeout_s=own.verifier_start_s,
        memory_bytes=own.verifier_memory_bytes,
        batch_rows=own.verifier_batch_rows,
    )


class Sandbox:
    """Grades completions in confined processes.

    Its server starts with the first call. Threads may share an instance; a fork of the process gets its own server.
    """

    def __init__(
        self,
        limits: SandboxLimits | None = None,
        *,
        max_level: int = MAX_LEVEL,
        libraries: Libraries | None = None,
    ) -> None:
        """Defaults: the `limits` of this deployment, and the `libraries` installed on this machine.

        A `max_level` below 2 omits layers (policy.LEVELS), for tests and for systems without them.
        """
        self.limits = limits or deployed_limits()
        self._max_level = max_level
        self._libraries = installed_libraries() if libraries is None else libraries
        self._lock = threading.Lock()
        self._servers: dict[tuple[str, ...], SandboxServer] = {}  # by preloaded modules, least recently used first
        _sandboxes.add(self)

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            for preload in list(self._servers):
                self._drop_server(preload)

    @property
    def confinement(self) -> Confinement:
        """Confinement that the server reached; starts it. Raises AppError(503) if it does not start."""
        with self._lock:
            return self._ready_server().confinement

    def identity(self) -> dict[str, int | str | None]:
        """Describe, for a manifest, what scores depend on besides the verifier, as JSON values.

        `level` (policy.LEVELS), `landlock_abi` (0: none), `python` (version), `libraries` (digest; None without any).
        Starts the server; raises AppError(503) if that fails.
        """
        confinement = self.confinement
        return {
            "level": confinement.level,
            "landlock_abi": confinement.landlock_abi,
            "python": confinement.python,
            "libraries": self._libraries.digest(),
        }

    @property
    def server_pid(self) -> int:
        with self._lock:
            return self._ready_server().pid

    @property
    def server_pids(self) -> list[int]:
        """Process ids of all running servers, the most recently used last."""
        with self._lock:
            return [server.pid for server in self._servers.values()]

    def grade(self, spec: Spec, samples: Sequence[Sample]) -> list[ScoreRecord]:
        """Grade samples: one record per sample, in order. Faults of a row or of the verifier are in its record.

        Raises AppError(503) if the sandbox cannot work: it does not start, or its level refuses Python verifiers.
        """
        match spec:
            case specs.Multi():
                records = self._combine(spec, samples)
            case specs.ScoreModel() | specs.LabelModel():
                records = judge.grade(spec, samples)
            case _:
                records = self._grade_samples(spec, samples)
        records = [record.held_to(spec.bounds) for record in records]
        return [record.counted_as_zero() for record in records] if spec.error_counts_as_zero else records

    def read(self, spec: programs.ReadoutSpec, references: Sequence[str]) -> list[Readout | None]:
        """Return how the grader reads each reference, in order; None for one that it cannot read.

        Raises AppError(503) if the sandbox cannot work.
        """
        rows = [json.dumps((reference, None)).encode() for reference in references]
        with self._lock:
            records = self._grade_rows(spec, rows, program=programs.program(spec, reads_out=True))
        return [readout_of(record) for record in records]

    def _combine(self, spec: specs.Multi, samples: Sequence[Sample]) -> list[ScoreRecord]:
        formula = spec.formula()
        by_name = {name: self.grade(grader, samples) for name, grader in spec.graders.items()}
        return [
            _combined(formula, {name: records[index] for name, records in by_name.items()})
            for index in range(len(samples))
        ]

    def _grade_samples(self, spec: programs.SandboxSpec, samples: Sequence[Sample]) -> list[ScoreRecord]:
        results: list[ScoreRecord | None] = []
        rows: list[bytes] = []
        for sample in samples:
            prepared = programs.row(spec, sample)
            results.append(prepared if isinstance(prepared, ScoreRecord) else None)
            rows.append(prepared if isinstance(prepared, bytes) else b"")
        pending = [index for index, record in enumerate(results) if record is None]
        if pending:
            with self._lock:
                ready = [rows[index] for index in pending]
                graded = self._grade_rows(spec, ready, program=programs.program(spec))
            for index, record in zip(pending, graded, strict=True):
                results[index] = record
        return [record for record in results if record is not None]

    def _grade_rows(self, spec: programs.SandboxSpec, rows: list[bytes], *, program: bytes) -> list[ScoreRecord]:
        preload = preload_of(spec.required_libraries) if self._libraries.folder is not None else ()
        if isinstance(spec, specs.Python) and self._ready_server().confinement.level == 0:
            raise AppError(self._ready_server().confinement.sentence, status=503, code="sandbox_level")
        size = programs.rows_per_process(spec, self.limits)
        batched = isinstance(spec, specs.Python) and spec.may_take_batches
        isolated = isinstance(spec, specs.Python) and spec.one_process_per_call
        runs_code = isinstance(spec, specs.Python) and spec.runs_model_code
        records: list[ScoreRecord] = []
        losses = timeouts = 0
        while len(records) < len(rows):
            start = len(records)
            batch = rows[start : start + size]
            attempt = self._ready_server(preload).run(program, batch, wait_for_exit=isolated, runs_model_code=runs_code)
            records += attempt.records
            if attempt.end is End.SERVER_LOST:
                self._drop_server(preload)
                losses = losses + 1 if not attempt.records else 1
                if losses >= _MAX_LOSSES_PER_ROW:
                    records.append(error_record(f"the sandbox was lost {losses} times on this row: {attempt.reason}"))
                    losses = 0
                continue
            losses = 0
            if attempt.end is End.CALL_FAILED or (batched and len(batch) > 1 and attempt.end in _ROW_FAILURES):
                size = 1  # grading each row alone shows which one is at fault
                continue
            if attempt.end not in _ROW_FAILURES:
                timeouts = 0
                continue
            if attempt.end is End.INVALID_RESULTS and not isolated:  # the row at fault is not known
                isolated, size = True, 1
                self._replace_server(preload)
                continue
            assert len(attempt.records) < len(batch)
            records.append(self._failure_record(attempt))
            if attempt.end is End.ROW_TIMEOUT:
                hanging = 0 if attempt.if_stopped else 1
                timeouts = hanging if attempt.records else timeouts + hanging
            else:
                timeouts = 0
                self._replace_server(preload)
            if timeouts >= self.limits.consecutive_timeouts:
                reason = f"not graded: the {timeouts} rows before it all timed out"
                untried = ScoreRecord(score=None, status=ScoreStatus.TIMEOUT, reason=reason)
                records += [untried] * (len(rows) - len(records))
        return records

    def _failure_record(self, attempt: GradingAttempt) -> ScoreRecord:
        if attempt.if_stopped:
            return replace(attempt.if_stopped, reason=f"the verifier was stopped by what it scored: {attempt.reason}")
        if attempt.end is End.ROW_TIMEOUT:
            ms = self.limits.row_timeout_s * 1000
            return ScoreRecord(score=None, status=ScoreStatus.TIMEOUT, reason=attempt.reason, ms=ms)
        return error_record(attempt.reason)

    def _ready_server(self, preload: tuple[str, ...] = ()) -> SandboxServer:
        """Return a running server with these modules preloaded, evicting the least recently used one if needed."""
        server = self._servers.pop(preload, None)
        if server is not None and server.batches >= self.limits.batches_per_server:
            server.close()
            server = None
        if server is None:
            idle = [key for key in self._servers if key]
            if len(idle) >= _MAX_SERVERS - 1:
                self._drop_server(idle[0])
            server = self._start(preload)
        _ = server.confinement  # waits until it is ready
        self._servers[preload] = server
        return server

    def _start(self, preload: tuple[str, ...]) -> SandboxServer:
        return SandboxServer(self.limits, max_level=self._max_level, libraries=self._libraries, preload=preload)

    def _drop_server(self, preload: tuple[str, ...] = ()) -> None:
        server = self._servers.pop(preload, None)
        if server is not None:
            server.close()

    def _replace_server(self, preload: tuple[str, ...]) -> None:
        """Start a new server at once, in the background, so that the next call need not wait for it."""
        self._drop_server(preload)
        self._servers[preload] = self._start(preload)

    def _after_fork(self) -> None:
        """Reset in a forked child: the servers belong to the parent, and the lock's holder may not exist here."""
        self._lock = threading.Lock()
        for server in self._servers.values():
            server.abandon()
        self._servers = {}


def _combined(formula: Formula, parts: Mapping[str, ScoreRecord]) -> ScoreRecord:
    """Combine the records of the graders of a `multi`; their scores become its components."""
    ms = sum(record.ms for record in parts.values())
    scores = {name: record.score for name, record in parts.items() if record.score is not None}
    reasons = [f"{name}: {record.reason}" for name, record in parts.items() if record.reason]
    for status in (ScoreStatus.ERROR, ScoreStatus.TIMEOUT, ScoreStatus.ABSTAIN):
        failed = [name for name, record in parts.items() if record.status is status]
        if failed:
            reason = f"{failed[0]}: {parts[failed[0]].reason or 'no score'}"
            return ScoreRecord(score=None, status=status, reason=reason, components=scores, ms=ms)
    try:
        score = formula.value(scores)
    except FormulaError as error:
        reason = f"{FORMULA_FAULT}{error}"
        return ScoreRecord(score=None, status=ScoreStatus.ERROR, reason=reason, components=scores, ms=ms)
    reason_text = "\n".join(reasons)[:REASON_CHARS] or None
    return ScoreRecord(score=score, status=ScoreStatus.OK, reason=reason_text, components=scores, ms=ms)


# A handler of forks cannot be removed again, so there is one a process, which does not keep sandboxes alive. Sandboxes
# cannot register themselves instead: a fork may be made by code that knows of none (`fork_server`, Celery).
_sandboxes: "weakref.WeakSet[Sandbox]" = weakref.WeakSet()


def _after_fork() -> None:
    for sandbox in list(_sandboxes):
        sandbox._after_fork()


os.register_at_fork(after_in_child=_after_fork)
