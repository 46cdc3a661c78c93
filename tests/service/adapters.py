"""Adapters and checkpoints of the starter model with random weights, without training."""

import tempfile
from pathlib import Path

import torch

from backend.settings import STARTER_MODEL
from tests.worker.engine.tiny import tiny_settings
from worker.engine.model.policy import LIVE_ADAPTER, Policy
from worker.engine.model.policy_loading import load_policy
from worker.engine.training.checkpoint import RunState, pack
from worker.engine.training.optimizer import make_optimizer
from worker.exports.adapter_zip import write_adapter_zip

MANIFEST = {
    "base_model": {"name": "starter", "sha256": "0"},
    "settings": {"method": "rlsd", "lora": {"r": 4}},
    "evaluations": [],
    "trained_tokens": 1,
    "job": {"name": "n"},
    "steps": 1,
    "code": {"version": "1"},
}


def random_adapter(seed: int, *, strength: float = 0.2) -> tuple[bytes, bytes]:
    """Return the adapter archive of a finished job, and a checkpoint with other weights; rank 4, alpha 8."""
    settings = tiny_settings(lora_r=4, lora_alpha=8.0)
    policy = load_policy(str(STARTER_MODEL), settings=settings)
    with tempfile.TemporaryDirectory() as folder:
        _randomise(policy, seed, strength=strength)
        write_adapter_zip(policy, Path(folder) / "adapter.zip", base_model="starter", manifest=MANIFEST)
        archive = (Path(folder) / "adapter.zip").read_bytes()
    _randomise(policy, seed + 1000, strength=strength)
    run_state = RunState(step=1, baseline=None, score=None)
    return archive, pack(policy, make_optimizer(policy, settings=settings), run_state=run_state, kept_adapter={})


def _randomise(policy: Policy, seed: int, *, strength: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.adapter(LIVE_ADAPTER).values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * strength)
