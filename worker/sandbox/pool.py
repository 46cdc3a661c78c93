"""Outside: `Sandbox`, what the rest of the application grades with.

Renders templates, sends rows in batches through a confined server (server.py), and turns every way a batch can end
into one record a row: the row in progress is the only one lost, the rest is sent again. A verifier that was taken for
plain and forges is graded on with one process a row. The server is replaced after a number of batches, after any odd
death, and when it has gone.
"""

import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType

from backend.errors import AppError
from backend.settings import settings
from backend.verifiers import specs
from backend.verifiers.formula import Formula, FormulaError
from backend.verifiers.record import FORMULA_FAULT, ScoreRecord, ScoreStatus, error_record
from backend.verifiers.specs import Spec
from backend.verifiers.templates import Sample
from worker.sandbox import judge, programs
from worker.sandbox.environment import Libraries, installed_libraries, preload_of
from worker.sandbox.policy import MAX_LEVEL, REASON_CHARS, SandboxLimits
from worker.sandbox.server import Box, End, GradingAttempt, SandboxServer

__all__ = ["Sample", "Sandbox", "Spec"]

_BLAMED = {End.ROW_TIMEOUT, End.DIED, End.FORGED}
_LOSSES_PER_ROW = 2
_SERVERS = 4
"""At most so many at a time, each with other libraries warm. The plain one, without any, stays."""


BATCH_LIVES = 12
"""Times the deadline of a row that a process may live."""


def deployed_limits() -> SandboxLimits:
    """As this deployment has them (backend/settings.py)."""
    own = settings()
    return SandboxLimits(
        row_timeout_s=own.verifier_timeout_s,
        batch_timeout_s=own.verifier_timeout_s * BATCH_LIVES,
        start_timeout_s=own.verifier_start_s,
        memory_bytes=own.verifier_memory_bytes,
        batch_rows=own.verifier_batch_rows,
    )


class Sandbox:
    """Starts its server at the first call. Threads may share one; a fork of the process gets a server of its own."""

    def __init__(
        self,
        limits: SandboxLimits | None = None,
        *,
        max_level: int = MAX_LEVEL,
        libraries: Libraries | None = None,
    ) -> None:
        """`limits`: those of this deployment unless given. `libraries`: those installed on this machine unless given.

        `max_level` below 2 leaves layers out (policy.LEVELS): for tests and for systems that lack them anyway.
        """
        self.limits = limits or deployed_limits()
        self._max_level = max_level
        self._libraries = installed_libraries() if libraries is None else libraries
        self._lock = threading.Lock()
        self._servers: dict[tuple[str, ...], SandboxServer] = {}  # by what is preloaded; the last used comes last
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
    def box(self) -> Box:
        """What the server reached; starts it. Raises AppError(503) where it does not come up."""
        with self._lock:
            return self._ready_server().box

    def identity(self) -> dict[str, int | str | None]:
        """What scores depend on beside the verifier, as JSON values, for a manifest. Starts the server; AppError(503).

        `level` (policy.LEVELS), `landlock_abi` (0: none), `python` (version), `libraries` (digest; None without any).
        """
        box = self.box
        return {
            "level": box.level,
            "landlock_abi": box.landlock_abi,
            "python": box.python,
            "libraries": self._libraries.digest(),
        }

    @property
    def server_pid(self) -> int:
        with self._lock:
            return self._ready_server().pid

    @property
    def server_pids(self) -> list[int]:
        """Of all servers that are up, the one used last at the end."""
        with self._lock:
            return [server.pid for server in self._servers.values()]

    def grade(self, spec: Spec, samples: Sequence[Sample]) -> list[ScoreRecord]:
        """One record a sample, in order; what goes wrong with a row or the verifier is in its record.

        Raises AppError(503) where the sandbox itself cannot work: it does not start, or Python verifiers are refused
        at its level.
        """
        match spec:
            case specs.Multi():
                records = self._combine(spec, samples)
            case specs.ScoreModel() | specs.LabelModel():
                records = judge.ask(spec, samples)
            case _:
                records = self._grade_samples(spec, samples)
        return [record.counted_as_zero() for record in records] if spec.error_counts_as_zero else records

    def _combine(self, spec: specs.Multi, samples: Sequence[Sample]) -> list[ScoreRecord]:
        formula = spec.formula()
        by_name = {name: self.grade(grader, samples) for name, grader in spec.graders.items()}
        return [
            _combined(formula, {name: records[index] for name, records in by_name.items()})
            for index in range(len(samples))
        ]

    def _grade_samples(self, spec: programs.Programmed, samples: Sequence[Sample]) -> list[ScoreRecord]:
        results: list[ScoreRecord | None] = []
        rows: list[bytes] = []
        for sample in samples:
            made = programs.row(spec, sample)
            results.append(made if isinstance(made, ScoreRecord) else None)
            rows.append(made if isinstance(made, bytes) else b"")
        waiting = [index for index, record in enumerate(results) if record is None]
        if waiting:
            with self._lock:
                graded = self._grade_rows(spec, [rows[index] for index in waiting])
            for index, record in zip(waiting, graded, strict=True):
                results[index] = record
        return [record for record in results if record is not None]

    def _grade_rows(self, spec: programs.Programmed, rows: list[bytes]) -> list[ScoreRecord]:
        preload = preload_of(spec.needs) if self._libraries.folder is not None else ()
        if isinstance(spec, specs.Python) and self._ready_server().box.level == 0:
            raise AppError(self._ready_server().box.sentence, status=503, code="sandbox_level")
        program = programs.program(spec)
        size = programs.rows_of_a_process(spec, self.limits)
        at_once = isinstance(spec, specs.Python) and spec.entry_point.takes_batches
        alone = isinstance(spec, specs.Python) and spec.one_process_a_call
        records: list[ScoreRecord] = []
        losses = timeouts = 0
        while len(records) < len(rows):
            start = len(records)
            batch = rows[start : start + size]
            attempt = self._ready_server(preload).run(program, batch, to_the_end=alone)
            records += attempt.records
            if attempt.end is End.SERVER_LOST:
                self._drop_server(preload)
                losses = losses + 1 if not attempt.records else 1
                if losses >= _LOSSES_PER_ROW:
                    records.append(error_record(f"the sandbox was lost {losses} times on this row: {attempt.reason}"))
                    losses = 0
                continue
            losses = 0
            if attempt.end is End.CALL_FAILED or (at_once and len(batch) > 1 and attempt.end in _BLAMED):
                size = 1  # whose fault it is shows when each is graded by itself
                continue
            if attempt.end not in _BLAMED:
                timeouts = 0
                continue
            if attempt.end is End.FORGED and not alone:  # which row forged is not known
                alone, size = True, 1
                self._replace_server(preload)
                continue
            assert len(attempt.records) < len(batch)
            records.append(self._blame(attempt))
            if attempt.end is End.ROW_TIMEOUT:
                timeouts = 1 if attempt.records else timeouts + 1
            else:
                timeouts = 0
                self._replace_server(preload)
            if timeouts >= self.limits.consecutive_timeouts:
                reason = f"not tried: {timeouts} rows before it, one after the other, passed their deadline"
                untried = ScoreRecord(score=None, status=ScoreStatus.TIMEOUT, reason=reason)
                records += [untried] * (len(rows) - len(records))
        return records

    def _blame(self, attempt: GradingAttempt) -> ScoreRecord:
        if attempt.end is End.ROW_TIMEOUT:
            ms = self.limits.row_timeout_s * 1000
            return ScoreRecord(score=None, status=ScoreStatus.TIMEOUT, reason=attempt.reason, ms=ms)
        return error_record(attempt.reason)

    def _ready_server(self, preload: tuple[str, ...] = ()) -> SandboxServer:
        """One with these modules warm; the one that was used longest ago makes room."""
        server = self._servers.pop(preload, None)
        if server is not None and server.batches >= self.limits.batches_per_server:
            server.close()
            server = None
        if server is None:
            idle = [key for key in self._servers if key]
            if len(idle) >= _SERVERS - 1:
                self._drop_server(idle[0])
            server = self._started(preload)
        _ = server.box  # waits until it is up
        self._servers[preload] = server
        return server

    def _started(self, preload: tuple[str, ...]) -> SandboxServer:
        return SandboxServer(self.limits, max_level=self._max_level, libraries=self._libraries, preload=preload)

    def _drop_server(self, preload: tuple[str, ...] = ()) -> None:
        server = self._servers.pop(preload, None)
        if server is not None:
            server.close()

    def _replace_server(self, preload: tuple[str, ...]) -> None:
        """The next one starts at once and by itself, so that a later call need not wait for it."""
        self._drop_server(preload)
        self._servers[preload] = self._started(preload)

    def _after_fork(self) -> None:
        """In the fork: servers stay with the process that started them, and a lock held by a lost thread is void."""
        self._lock = threading.Lock()
        for server in self._servers.values():
            server.abandon()
        self._servers = {}


def _combined(formula: Formula, parts: Mapping[str, ScoreRecord]) -> ScoreRecord:
    """One record of those of the graders of a `multi`: their scores are its components."""
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
    told = "\n".join(reasons)[:REASON_CHARS] or None
    return ScoreRecord(score=score, status=ScoreStatus.OK, reason=told, components=scores, ms=ms)


_sandboxes: "weakref.WeakSet[Sandbox]" = weakref.WeakSet()


def _after_fork() -> None:
    for sandbox in list(_sandboxes):
        sandbox._after_fork()


os.register_at_fork(after_in_child=_after_fork)
