"""Whole runs of a tiny model, shared by several tests."""

import torch

from tests.worker.engine.tiny import (
    Recorder,
    tiny_policy,
    tiny_tasks,
    vowel_share,
)
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.model.policy import LIVE_ADAPTER

TASKS, HELD_OUT = tiny_tasks(7), tiny_tasks(4, first_row=50)


def train(settings, *, reward=vowel_share, tasks=TASKS, held_out=HELD_OUT, resume=None, recorder=None, policy=None):
    recorder = recorder or Recorder()
    policy = policy or tiny_policy(settings)
    ending = run(
        Experiment(settings=settings, policy=policy, tasks=tasks, held_out=held_out, reward=reward),
        observer=recorder,
        resume=resume,
    )
    return ending, recorder, policy


def adapter(policy, name=LIVE_ADAPTER):
    return {key: value.detach().clone() for key, value in policy.adapter(name).items()}


def equal(first, second):
    return all(torch.equal(value, second[key]) for key, value in first.items())
