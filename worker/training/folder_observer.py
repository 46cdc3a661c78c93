"""Observer of a run without services: prints one line per step and writes the reports to a folder."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backend.errors import AppError
from backend.tracking.run import Figures
from backend.tracking.whole import figures_of
from backend.verifiers.record import ScoreRecord
from worker.engine.observer import Checkpoint, EvaluationReport, StepReport
from worker.engine.training.checkpoint import unpack
from worker.engine.types import ControlSignal


class FolderObserver:
    """Prints one line per step, appends reports to JSONL files, and keeps the newest checkpoint."""

    def __init__(self, folder: Path, *, max_steps: int) -> None:
        self.folder = folder
        self.max_steps = max_steps
        self.evaluations: list[dict[str, Any]] = []
        self.steps = 0
        self.trained_tokens = 0
        self._forgets_after: int | None = None

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def resumed(self) -> bytes:
        """Read the newest checkpoint. Raises AppError if there is none.

        Lines of later steps are removed with the first new line, so a refused resume leaves the folder unchanged.
        """
        if not self.checkpoint_path.exists():
            raise AppError(f"There is no checkpoint in {self.folder} to resume from: run without --resume.")
        data = self.checkpoint_path.read_bytes()
        self.steps = self._forgets_after = unpack(data).run_state.step
        self.evaluations = self._kept("evaluations.jsonl", step=self.steps)
        done = self._kept("metrics.jsonl", step=self.steps)
        self.trained_tokens = sum(int(line["values"]["update_tokens"]) for line in done)
        print(f"resuming from the checkpoint of step {self.steps}", flush=True)
        return data

    def control_signal(self) -> ControlSignal:
        return ControlSignal.CONTINUE

    def step(self, report: StepReport) -> None:
        self.steps = report.step
        self.trained_tokens += int(report.metrics["update_tokens"])
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
                },
            )
        reward = report.metrics.get("reward_mean")
        reward_text = "n/a (no scores)" if reward is None else f"{reward:.3f}"
        print(f"step {report.step}/{self.max_steps}  reward {reward_text}", flush=True)

    def evaluation(self, report: EvaluationReport) -> None:
        self.evaluations.append(asdict(report))
        self._append("evaluations.jsonl", asdict(report))
        print(
            f"{report.phase}: {report.mean:.3f} [{report.low:.3f}, {report.high:.3f}] "
            f"on {report.n} held-out questions, {report.k} samples each{report.left_out}",
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

    def event(self, *, level: str, code: str, message: str) -> None:
        print(f"{level}: {message} ({code})", flush=True)

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
