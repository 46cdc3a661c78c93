"""Outside: `Sandbox`, what the rest of the application grades with.

Renders templates, sends rows in batches through a confined server (server.py), and turns every way a batch can end
into one record a row: the row in progress is the only one lost, the rest is sent again. A verifier that was taken for
plain and forges is graded on with one process a row. The server is replaced after a number of batches, after any odd
death, and when it has gone.
"""

import json
import os
import threading
import weakref
from collections.abc import Sequence
from types import TracebackType

from backend.errors import AppError
from backend.verifiers import specs, templates
from backend.verifiers.record import ScoreRecord, ScoreStatus, error_record
from backend.verifiers.templates import OutputPathError, Sample
from worker.sandbox.environment import STANDARD_LIBRARY, Libraries
from worker.sandbox.policy import MAX_LEVEL, Limits
from worker.sandbox.server import Attempt, Box, End, Server

__all__ = ["Sample", "Sandbox"]

Spec = specs.StringCheck | specs.Regex | specs.Python
_BLAMED = {End.ROW_TIMEOUT, End.DIED, End.FORGED}
_LOSSES_PER_ROW = 2


class Sandbox:
    """Starts its server at the first call. Threads may share one; a fork of the process gets a server of its own."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        max_level: int = MAX_LEVEL,
        libraries: Libraries = STANDARD_LIBRARY,
    ) -> None:
        """`max_level` below 2 leaves layers out (policy.LEVELS): for tests and for systems that lack them anyway."""
        self.limits = limits or Limits()
        self._max_level = max_level
        self._libraries = libraries
        self._lock = threading.Lock()
        self._server: Server | None = None
        _sandboxes.add(self)

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._drop_server()

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

    def grade(self, spec: Spec, samples: Sequence[Sample]) -> list[ScoreRecord]:
        """One record a sample, in order; what goes wrong with a row or the verifier is in its record.

        Raises AppError(503) where the sandbox itself cannot work: it does not start, or Python verifiers are refused
        at its level.
        """
        results: list[ScoreRecord | None] = []
        rows: list[bytes] = []
        for sample in samples:
            made = _row(spec, sample)
            results.append(made if isinstance(made, ScoreRecord) else None)
            rows.append(made if isinstance(made, bytes) else b"")
        waiting = [index for index, record in enumerate(results) if record is None]
        if waiting:
            with self._lock:
                graded = self._grade_rows(spec, [rows[index] for index in waiting])
            for index, record in zip(waiting, graded, strict=True):
                results[index] = record
        records = [record for record in results if record is not None]
        return [record.counted_as_zero() for record in records] if spec.error_counts_as_zero else records

    def _grade_rows(self, spec: Spec, rows: list[bytes]) -> list[ScoreRecord]:
        if isinstance(spec, specs.Python) and self._ready_server().box.level == 0:
            raise AppError(self._ready_server().box.sentence, status=503, code="sandbox_level")
        program = _program(spec)
        alone = isinstance(spec, specs.Python) and spec.one_process_a_call
        shared = self.limits.batch_rows if isinstance(spec, specs.Python) else self.limits.own_batch_rows
        size = 1 if alone else shared
        records: list[ScoreRecord] = []
        losses = timeouts = 0
        while len(records) < len(rows):
            start = len(records)
            batch = rows[start : start + size]
            attempt = self._ready_server().run(program, batch, to_the_end=alone)
            records += attempt.records
            if attempt.end is End.SERVER_LOST:
                self._drop_server()
                losses = losses + 1 if not attempt.records else 1
                if losses >= _LOSSES_PER_ROW:
                    records.append(error_record(f"the sandbox was lost {losses} times on this row: {attempt.reason}"))
                    losses = 0
                continue
            losses = 0
            if attempt.end not in _BLAMED:
                timeouts = 0
                continue
            if attempt.end is End.FORGED and not alone:  # which row forged is not known
                alone, size = True, 1
                self._drop_server()
                continue
            assert len(attempt.records) < len(batch)
            records.append(self._blame(attempt))
            if attempt.end is End.ROW_TIMEOUT:
                timeouts = 1 if attempt.records else timeouts + 1
            else:
                timeouts = 0
                self._drop_server()
            if timeouts >= self.limits.consecutive_timeouts:
                reason = f"not tried: {timeouts} rows before it, one after the other, passed their deadline"
                untried = ScoreRecord(score=None, status=ScoreStatus.TIMEOUT, reason=reason)
                records += [untried] * (len(rows) - len(records))
        return records

    def _blame(self, attempt: Attempt) -> ScoreRecord:
        if attempt.end is End.ROW_TIMEOUT:
            ms = self.limits.row_timeout_s * 1000
            return ScoreRecord(score=None, status=ScoreStatus.TIMEOUT, reason=attempt.reason, ms=ms)
        return error_record(attempt.reason)

    def _ready_server(self) -> Server:
        if self._server is not None and self._server.batches >= self.limits.batches_per_server:
            self._drop_server()
        if self._server is None:
            self._server = Server(self.limits, max_level=self._max_level, libraries=self._libraries)
        return self._server

    def _drop_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _after_fork(self) -> None:
        """In the fork: the server stays with the process that started it, and a lock held by a lost thread is void."""
        self._lock = threading.Lock()
        if self._server is not None:
            self._server.abandon()
            self._server = None


_sandboxes: "weakref.WeakSet[Sandbox]" = weakref.WeakSet()


def _after_fork() -> None:
    for sandbox in list(_sandboxes):
        sandbox._after_fork()


os.register_at_fork(after_in_child=_after_fork)


# -- what is sent -----------------------------------------------------------------------------------------------------


def _program(spec: Spec) -> bytes:
    """grading.py's program for a spec."""
    match spec:
        case specs.Python():
            entry = spec.entry_point
            fields: dict[str, object] = {
                "kind": "python",
                "source": spec.source,
                "function": entry.function,
                "arguments": dict(entry.signature.arguments),
            }
        case specs.Regex():
            group = specs.ANSWER_GROUP if spec.compares else None
            fields = {"kind": "regex", "pattern": spec.pattern, "flags": spec.flag_bits, "group": group}
        case specs.StringCheck():
            fields = {"kind": "string_check", "operation": spec.operation}
    return json.dumps(fields).encode()


def _row(spec: Spec, sample: Sample) -> bytes | ScoreRecord:
    """The line of JSON for grading.py, or the record where the templates already decide it.

    An item that lacks a path is an error. Output that lacks one (`sample.output_json`) is an answer that fails: 0.
    """
    try:
        if isinstance(spec, specs.Python):
            row: object = {"output_text": sample.output_text, "item": dict(sample.item), "answer": sample.answer}
        else:
            row = _texts(spec, sample)
        return json.dumps(row).encode()
    except OutputPathError as error:
        return ScoreRecord(score=0.0, status=ScoreStatus.OK, reason=error.message)
    except AppError as error:
        return error_record(error.message)
    except (TypeError, ValueError, RecursionError) as error:
        return error_record(f"the row cannot be sent to the sandbox: {error}")


def _texts(spec: specs.Regex | specs.StringCheck, sample: Sample) -> tuple[str, str | None]:
    reference = sample.answer if spec.reference is None else _rendered(spec.reference, sample)
    return _rendered(spec.input, sample), reference


def _rendered(template: str, sample: Sample) -> str:
    if template == specs.OUTPUT_TEXT:
        return sample.output_text
    return templates.render(template, item=sample.item, sample={"output_text": sample.output_text})
