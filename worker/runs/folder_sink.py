"""Sink of a run without services: prints one line per step and writes everything to a folder."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backend.core.beyond_imitation import beyond_imitation
from backend.core.checks import CheckName
from backend.core.control import ControlSignal, EventLevel
from backend.core.methods import METHODS
from backend.core.verdict import verdict_lines
from backend.db.base import Json
from backend.errors import AppError
from backend.jobs import checks
from backend.jobs.notices import Notice
from backend.tracking.run import Figures, TrackedRun, flat
from backend.tracking.whole import figures_of
from backend.verifiers.record import ScoreRecord
from backend.verifiers.specs import spec_hash
from worker.engine.model.policy import Policy
from worker.engine.observer import Checkpoint, EvaluationReport, StepReport
from worker.engine.training.checkpoint import unpack
from worker.engine.types import Ending
from worker.exports.adapter_zip import write_adapter_zip
from worker.faults import PAUSES
from worker.training.manifest import base_name, build_manifest, file_sha256
from worker.training.prepare import PreparedJob, identity


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalJob(PreparedJob):
    """A job of files, with what its manifest says about them."""

    name: str
    """Of the adapter."""
    grader_json: Json
    notices: tuple[Notice, ...]
    data: Json
    """What the manifest records about the input files."""


class FolderSink:
    """Prints one line per step, appends reports to JSONL files, and keeps the newest checkpoint.

    `resume`: continue from the checkpoint in the folder. `ignore_checks`: train even if a check before training fails.
    """

    def __init__(self, folder: Path, job: LocalJob, *, resume: bool, ignore_checks: bool) -> None:
        self.folder = folder
        self.job = job
        self.resume = resume
        self.ignore_checks = ignore_checks
        self.started = time.monotonic()
        self.checks = json.loads(self.checks_path.read_text()) if self.checks_path.exists() else checks.no_checks()
        self.evaluations: list[dict[str, Any]] = []
        self.steps = 0
        self._forgets_after: int | None = None

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def checks_path(self) -> Path:
        return self.folder / "checks.json"

    def tracked_as(self) -> TrackedRun:
        """Describe the run for trackers; the folder's name is its id, so a resumed run keeps it."""
        about = {"model": self.job.model, "seed": self.job.seed}
        settings = flat(about | self.job.spec.model_dump(mode="json", by_alias=True))
        name = self.folder.resolve().name
        return TrackedRun(id=name, name=name, settings=settings)

    def is_due(self, _check: CheckName) -> bool:
        return not self.resume

    def record_check(self, check: CheckName, result: Json) -> bool:
        """Print and store the verdict. Raises AppError if the check failed, unless failures are ignored."""
        print("\n".join([f"{checks.TITLES[check]}:", *verdict_lines(result)]), flush=True)
        self.checks[check] = result
        if checks.pauses(result, on_failed_check=self.job.spec.on_failed_check):
            if not self.ignore_checks:
                raise AppError(f"The {checks.TITLES[check]} failed. Use --ignore-checks to train anyway.")
            self.checks["overridden_at"] = int(time.time())
        self.checks_path.write_text(json.dumps(self.checks))
        return True

    def progress(self, done: int, total: int, unit: str) -> None:
        print(f"pre-flight: {done}/{total} {unit}", flush=True)

    def begin(self, _policy: Policy) -> bytes | None:
        """Read the newest checkpoint of a run to resume. Raises AppError if there is none.

        Lines of later steps are removed with the first new line, so a refused resume leaves the folder unchanged.
        """
        if not self.resume:
            return None
        if not self.checkpoint_path.exists():
            raise AppError(f"There is no checkpoint in {self.folder} to resume from: run without --resume.")
        data = self.checkpoint_path.read_bytes()
        self.steps = self._forgets_after = unpack(data).run_state.step
        self.evaluations = self._kept("evaluations.jsonl", step=self.steps)
        print(f"resuming from the checkpoint of step {self.steps}", flush=True)
        return data

    def control_signal(self) -> ControlSignal:
        return ControlSignal.RUN

    def step(self, report: StepReport) -> None:
        self.steps = report.step
        self._append("metrics.jsonl", {"step": report.step, "at": time.time(), "values": report.metrics})
        for rollout in report.rollouts:
            record = rollout.record
            assert isinstance(record, ScoreRecord)
            self._append(
                "rollouts.jsonl",
                {
                    "step": report.step,
                    "row": rollout.row,
                    "sample": rollout.sample,
                    "completion": rollout.completion,
                    "record": record.to_json(),
                    "advantage": rollout.advantage,
                    "hint": rollout.hint,
                },
            )
        print(self._line(report), flush=True)

    def _line(self, report: StepReport) -> str:
        last, metrics = report.warm_steps + self.job.spec.max_steps, report.metrics
        if report.step <= report.warm_steps:
            return f"warm start {report.step}/{report.warm_steps}  loss {metrics['loss']:.3f}"
        if METHODS[self.job.spec.method].imitates:
            return f"step {report.step}/{last}  loss {metrics['loss']:.3f}"
        reward = metrics.get("reward_mean")
        return f"step {report.step}/{last}  reward {'n/a (no scores)' if reward is None else f'{reward:.3f}'}"

    def evaluation(self, report: EvaluationReport) -> None:
        self.evaluations.append(asdict(report))
        self._append("evaluations.jsonl", asdict(report))
        print(
            f"{report.phase}: {report.mean:.3f} [{report.low:.3f}, {report.high:.3f}] "
            f"on {report.n} held-out questions, {report.k} samples each{report.left_out}{report.chosen_by}",
            flush=True,
        )

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        scratch = self.checkpoint_path.with_suffix(".new")
        scratch.write_bytes(checkpoint.data)
        scratch.replace(self.checkpoint_path)

    def figures(self) -> list[Figures]:
        """All figures of the run so far, read from the folder."""
        steps = [line | {"created_at": line["at"]} for line in self._lines("metrics.jsonl")]
        times = {line["step"]: line["at"] for line in steps}
        evaluations = [line | {"created_at": times.get(line["step"], time.time())} for line in self.evaluations]
        return figures_of(steps, evaluations)

    def event(self, *, level: EventLevel, code: str, message: str) -> None:
        print(f"{level}: {message} ({code})", flush=True)

    def end(self, ending: Ending, *, policy: Policy, teacher: Policy | None, sandbox: Json) -> None:
        """Write the adapter and print where it is. Raises AppError, with how to continue, if the run ended early."""
        if ending in PAUSES:
            pause = PAUSES[ending]
            raise AppError(f"{pause['message']} (Use --resume to continue from the checkpoint.)", code=pause["code"])
        if ending is not Ending.DONE:
            raise AppError(f"The job ended early: {ending}. See the output above.")
        manifest = self._manifest(policy, teacher=teacher, sandbox=sandbox)
        adapter = self.folder / "adapter.zip"
        write_adapter_zip(policy, adapter, base_model=base_name(manifest), manifest=manifest)
        sentence = beyond_imitation(self.evaluations, method=self.job.spec.method)
        if sentence is not None:
            print(sentence, flush=True)
        seconds = time.monotonic() - self.started
        print(json.dumps({"adapter": str(adapter), "sha256": file_sha256(adapter), "seconds": seconds}))

    def _manifest(self, policy: Policy, *, teacher: Policy | None, sandbox: Json) -> Json:
        job = self.job
        step = next((e["step"] for e in self.evaluations if e["phase"] == "trained"), self.steps)
        done = self._kept("metrics.jsonl", step=step)
        return build_manifest(
            job={"id": None, "name": job.name, "seed": job.seed},
            data=job.data,
            grader={"spec": job.grader_json, "sha256": spec_hash(job.grader)},
            base=identity(job.model, policy),
            teacher=None if teacher is None else identity(str(job.spec.teacher_model), teacher),
            settings=job.spec.model_dump(mode="json", by_alias=True),
            checks=checks.without_details(self.checks),
            evaluations=[
                {k: v for k, v in e.items() if k != "per_question"} for e in self.evaluations if e["step"] <= step
            ],
            steps=step,
            trained_tokens=sum(int(line["values"]["update_tokens"]) for line in done),
            sandbox=sandbox,
        )

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _kept(self, name: str, *, step: int) -> list[dict[str, Any]]:
        """Lines of the file up to this step, without the final evaluation."""
        return [line for line in self._lines(name) if line["step"] <= step and line.get("phase") != "trained"]

    def _append(self, name: str, line: dict[str, Any]) -> None:
        if self._forgets_after is not None:
            for other in ("metrics.jsonl", "rollouts.jsonl", "evaluations.jsonl"):
                kept = self._kept(other, step=self._forgets_after)
                (self.folder / other).write_text("".join(json.dumps(line) + "\n" for line in kept))
            self._forgets_after = None
        with (self.folder / name).open("a") as file:
            file.write(json.dumps(line) + "\n")
