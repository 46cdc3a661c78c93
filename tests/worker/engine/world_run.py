"""Script for one process of a distributed run: runs scenarios of `test_distributed` and writes results to a folder."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from tests.worker.engine.tiny import (
    Recorder,
    Verdict,
    component_weights,
    tiny_model,
    tiny_settings,
    tiny_tasks,
    tiny_tokenizer,
    vowel_share,
    weighed,
)
from tests.worker.engine.tiny_vision import image_tasks, tiny_processor, tiny_vision_model
from worker.engine.distributed import ProcessGroup
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.model.policy_loading import build_policy
from worker.engine.model.sharding import shard


def make_settings(changes):
    usual = {
        "method": "grpo",
        "batch_size": 4,
        "max_completion_tokens": 14,
        "micro_batch_tokens": 100,
        "token_share": 1.0,
        "max_steps": 3,
        "eval_interval": 2,
        "devices": 2,
    }
    return tiny_settings(**(usual | changes))


class RecordingReward:
    """Reward with dead groups for some rows, which records the rows it scores."""

    def __init__(self):
        self.rows = []

    def __call__(self, completions):
        self.rows.append([done.task.row for done in completions])
        verdicts = [
            replace(verdict, components=parts.components)
            for verdict, parts in zip(vowel_share(completions), weighed(completions), strict=True)
        ]
        return [
            Verdict(1.0, components=dict.fromkeys(verdict.components, 1.0)) if done.task.row % 3 == 0 else verdict
            for done, verdict in zip(completions, verdicts, strict=True)
        ]


class FailingReward(RecordingReward):
    """Reward that fails at its third call."""

    def __call__(self, completions):
        if len(self.rows) == 2:
            raise ZeroDivisionError("the third call")
        return super().__call__(completions)


def make_policy(settings, *, images=False):
    """Return the tiny policy with varied completion lengths, in float64: AdamW amplifies rounding errors of float32."""
    model = (tiny_vision_model() if images else tiny_model()).double()
    model.generation_config.eos_token_id = list(range(100, 124))
    processor = tiny_processor() if images else None
    tokenizer = processor.tokenizer if images else tiny_tokenizer()
    return build_policy(model, tokenizer=tokenizer, settings=settings, processor=processor)


def run_scenario(world, *, settings, resume=None, stop_after=None, fault=None, images=False):
    """Run a scenario; return its results as plain data."""
    chosen = make_settings(settings)
    policy, tasks = make_policy(chosen, images=images), image_tasks if images else tiny_tasks
    if chosen.sharding == "sharded" and world.size > 1:
        policy, world = shard(policy, device=torch.device("cpu"), world=world)
    recorder = Recorder(stop_after=stop_after)
    reward = FailingReward() if fault == world.rank else RecordingReward()
    ending = run(
        Experiment(
            settings=chosen,
            policy=policy,
            tasks=tasks(9),
            held_out=tasks(5, first_row=50),
            reward=reward,
            component_weights=component_weights(chosen),
            world=world,
        ),
        observer=recorder,
        resume=resume,
    )
    return {
        "ending": str(ending),
        "metrics": [report.metrics for report in recorder.steps],
        "steps": [report.step for report in recorder.steps],
        "rollouts": [rollout for report in recorder.steps for rollout in report.rollouts],
        "evaluations": recorder.evaluations,
        "checkpoints": {checkpoint.step: checkpoint.data for checkpoint in recorder.checkpoints},
        "adapter": {name: value.detach().clone() for name, value in policy.adapter(LIVE_ADAPTER).items()},
        "num_parameters": sum(
            p.to_local().numel() if hasattr(p, "to_local") else p.numel() for p in policy.model.parameters()
        ),
        "scored": reward.rows,
    }


if __name__ == "__main__":
    folder, rank, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=size)
    for name, arguments in json.loads((folder / "scenarios.json").read_text()).items():
        if "resume" in arguments:
            arguments["resume"] = Path(arguments["resume"]).read_bytes()
        found = run_scenario(ProcessGroup(rank, size), **arguments)
        torch.save(found, folder / f"{name}.{rank}")
    dist.destroy_process_group()
