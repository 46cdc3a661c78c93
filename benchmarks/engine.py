"""What a step costs: RLSD over GRPO on the same prompts, and where the time goes. One thread, the starter model.

Both methods take turns in blocks of steps on the same rows with the same seeds. The learning rate is so small that the
policies stay equal, so both sample the same completions and the ratio compares equal work.
"""

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence

import torch

from backend.datasets.rows import read_rows
from backend.demo import STARTER
from backend.jobs.spec import PRESETS, Preset, RlsdSettings
from backend.settings import STARTER_MODEL
from backend.verifiers.specs import parse_spec
from benchmarks.figures import Figure, figure
from worker.engine import loop
from worker.engine.checkpoint import Checkpoint
from worker.engine.policy import load_policy
from worker.engine.report import EvaluationReport, StepReport
from worker.engine.types import Reward, Task, Wish
from worker.sandbox.policy import Limits
from worker.sandbox.pool import Sandbox
from worker.setup import engine_settings, sandboxed_reward, tasks_of

BLOCKS = 7
STEPS = 6
WARM_UP = 1
PHASES = ("rollout", "reward", "teacher", "update", "report")


class StepTimes:
    """An observer that keeps the metrics of each step."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []

    def wish(self) -> Wish:
        return Wish.CONTINUE

    def step(self, report: StepReport) -> None:
        self.metrics.append(report.metrics)

    def evaluation(self, report: EvaluationReport) -> None: ...

    def checkpoint(self, checkpoint: Checkpoint) -> None: ...

    def event(self, *, level: str, code: str, message: str) -> None:
        print(f"{level}: {message}")


def run() -> list[Figure]:
    torch.set_num_threads(1)
    with (STARTER / "train.jsonl").open("rb") as file:
        rows = read_rows(file)
    grader = {"type": "python", "name": "starter", "source": (STARTER / "verifier.py").read_text()}
    tasks, _ = tasks_of(rows, spec=_spec("grpo"), seed=0, validation=rows)
    found: dict[str, list[list[dict[str, float]]]] = defaultdict(list)
    with Sandbox(Limits()) as sandbox:
        reward = sandboxed_reward(sandbox, parse_spec(grader))
        for block in range(WARM_UP + BLOCKS):
            for method in ("grpo", "rlsd"):
                metrics = _block(method, tasks=tasks, reward=reward, seed=block)
                if block >= WARM_UP:
                    found[method].append(metrics)
    return _figures(found["grpo"], found["rlsd"])


def _spec(method: str) -> RlsdSettings:
    job = json.loads((STARTER / "job.json").read_text())["method"]["reinforcement"]["x_rlsd"]
    values = PRESETS[Preset.STEADY] | job | {"method": method, "learning_rate": 1e-12, "max_steps": STEPS}
    return RlsdSettings.model_validate(values)


def _block(method: str, *, tasks: Sequence[Task], reward: Reward, seed: int) -> list[dict[str, float]]:
    settings = engine_settings(_spec(method), seed=seed)
    observer = StepTimes()
    policy = load_policy(str(STARTER_MODEL), settings=settings)
    loop.run(settings, policy=policy, tasks=tasks, held_out=[], reward=reward, observer=observer, resume=None)
    return observer.metrics


def _figures(grpo: list[list[dict[str, float]]], rlsd: list[list[dict[str, float]]]) -> list[Figure]:
    def block_medians(blocks: list[list[dict[str, float]]], name: str) -> list[float]:
        return [statistics.median(step.get(name, 0.0) for step in block) for block in blocks]

    def ratios(name: str) -> list[float]:
        return [a / b for a, b in zip(block_medians(rlsd, name), block_medians(grpo, name), strict=True)]

    def total(block: list[dict[str, float]], name: str) -> float:
        return sum(step.get(name, 0.0) for step in block)

    sequences = _spec("rlsd").batch_size * _spec("rlsd").num_generations
    rates = [sequences * total(block, "completion_tokens_mean") / total(block, "rollout_s") for block in rlsd]
    shares = [
        figure(
            f"rlsd_{phase}_share",
            [total(block, f"{phase}_s") / total(block, "step_s") for block in rlsd],
            unit="share of a step",
        )
        for phase in PHASES
    ]
    return [
        figure("rlsd_over_grpo_step", ratios("step_s"), unit="ratio"),
        figure("grpo_step_s", block_medians(grpo, "step_s"), unit="s"),
        figure("rlsd_step_s", block_medians(rlsd, "step_s"), unit="s"),
        figure("rollout_tokens_per_s", rates, unit="tokens/s"),
        *shares,
    ]
