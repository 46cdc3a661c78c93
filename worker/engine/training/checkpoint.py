"""Owns what a run needs to go on elsewhere: adapter, snapshot, optimizer moments and where it stands, as one blob.

The blob is a safetensors file. Data order, sampling and dropout are functions of the seed and the step, so no generator
state is in it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import load, save
from torch import Tensor

from worker.engine.model.adapter_files import Adapter
from worker.engine.model.policy import LIVE_ADAPTER, SNAPSHOT_ADAPTER, Policy
from worker.engine.settings import Settings
from worker.engine.types import QuestionScores, Task

SETTINGS = "settings"


Fingerprint = dict[str, dict[str, Any]]
"""By part of the run, what is known of it, as plain JSON."""


MAY_CHANGE = frozenset(
    {
        *("max_steps", "budget", "budget_unit"),
        *("eval_interval", "checkpoint_interval", "diagnostic_interval", "token_share"),
        *("device", "teacher_device", "teacher_model", "generator", "sharding"),
        *("micro_batch_tokens", "rollout_sequences", "gradient_checkpointing"),
        *("max_error_share", "max_dead_steps"),
    }
)
"""Settings with which a run goes on as the same run, whatever they are."""


def fingerprint(settings: Settings, *, tasks: Sequence[Task], held_out: Sequence[Task]) -> Fingerprint:
    """The run's settings by name, and a hash for each field of its rows."""
    named = {name: value for name, value in asdict(settings).items() if name not in MAY_CHANGE}
    plain: dict[str, Any] = json.loads(json.dumps(named))
    return {SETTINGS: plain, "training rows": _hashes(tasks), "held-out rows": _hashes(held_out)}


def _hashes(tasks: Sequence[Task]) -> dict[str, str]:
    """For each field of the rows one hash over all of them, in order."""
    return {field.name: _hash([getattr(task, field.name) for task in tasks]) for field in fields(Task)}


FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """Where a run stands, beside its tensors."""

    step: int
    """Optimizer steps taken."""
    baseline: list[QuestionScores] | None
    """The evaluation before training."""
    score: float | None
    """Mean of the held-out evaluation at this step; None where there was none yet."""
    used: float = 0.0
    """Of the run's budget, by the steps until here."""
    watched: dict[str, Any] = field(default_factory=dict)
    """What the latest steps have in common (`vigil.py`)."""
    fingerprint: Fingerprint | None = None
    """Which run it is. None in a checkpoint of before there were any, from which any run that fits may go on."""


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    """A checkpoint read back."""

    standing: RunState
    tensors: Mapping[str, Tensor]


def pack(policy: Policy, optimizer: torch.optim.AdamW, *, standing: RunState) -> bytes:
    """The state of a run that stands there."""
    tensors = {}
    for name, parameter in policy.adapter(LIVE_ADAPTER).items():
        tensors[f"adapter.{name}"] = parameter.detach()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    for name, parameter in policy.adapter(SNAPSHOT_ADAPTER).items():
        tensors[f"snapshot.{name}"] = parameter.detach()
    # One entry: safetensors writes several in random order, and equal states are to be equal blobs.
    metadata = {"rlsd": json.dumps({"format": FORMAT} | asdict(standing))}
    blob: bytes = save({key: value.cpu().contiguous() for key, value in tensors.items()}, metadata=metadata)
    return blob


def unpack(data: bytes) -> LoadedCheckpoint:
    """Read a checkpoint. ValueError when it is not one of ours."""
    header_size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + header_size]).get("__metadata__", {})
    state = json.loads(metadata.get("rlsd", "{}"))
    if state.pop("format", None) != FORMAT:
        raise ValueError("this is not a checkpoint of a training run")
    return LoadedCheckpoint(RunState(**state), load(data))


def restore(policy: Policy, optimizer: torch.optim.AdamW, *, checkpoint: LoadedCheckpoint) -> None:
    """Put a checkpoint's state into a policy of the same model and settings. ValueError when it does not fit."""
    adapters = {"adapter": policy.adapter(LIVE_ADAPTER), "snapshot": policy.adapter(SNAPSHOT_ADAPTER)}
    expected = {f"{kind}.{name}" for kind, adapter in adapters.items() for name in adapter}
    found = {key for key in checkpoint.tensors if not key.startswith("optimizer.")}
    if expected != found:
        raise ValueError("the checkpoint belongs to another model or to other LoRA target modules")
    with torch.no_grad():
        for kind, adapter in adapters.items():
            for name, parameter in adapter.items():
                tensor = checkpoint.tensors[f"{kind}.{name}"]
                if tensor.shape != parameter.shape:
                    raise ValueError(f"the checkpoint's {name} has the shape {tuple(tensor.shape)}")
                parameter.copy_(tensor)
    for name, parameter in adapters["adapter"].items():
        state = {}
        for key in ("step", "exp_avg", "exp_avg_sq"):
            moment = checkpoint.tensors.get(f"optimizer.{key}.{name}")
            if moment is not None:
                state[key] = moment.to(parameter.device)
        if state:
            optimizer.state[parameter] = state


def adapter_from_checkpoint(data: bytes, *, r: int, alpha: float) -> Adapter:
    """From a checkpoint of a run with this rank and alpha. ValueError where it is none."""
    prefix = "adapter."
    named = ((name, value) for name, value in unpack(data).tensors.items() if name.startswith(prefix))
    tensors = {name.removeprefix(prefix): value for name, value in named}
    places = {name.removeprefix("base_model.model.").partition(".lora_")[0] for name in tensors}
    return Adapter(LoraConfig(r=r, lora_alpha=alpha, target_modules=sorted(places), task_type="CAUSAL_LM"), tensors)


def require_same_run(known: Fingerprint | None, present: Fingerprint) -> None:
    """ValueError naming what differs between a checkpoint's fingerprint and that of the run that is to go on from it.

    What only one of the two knows is not compared, so a checkpoint of an earlier version, which has no fingerprint at
    all or knows fewer settings, is accepted.
    """
    for part, facts in present.items():
        before = (known or {}).get(part, {})
        for name in facts:
            if name in before and before[name] != facts[name]:
                said = _difference(part, name, before=before[name], now=facts[name])
                raise ValueError(f"the checkpoint belongs to another run: {said}")


def _difference(part: str, name: str, *, before: object, now: object) -> str:
    if part == SETTINGS:
        return f"{name} was {before!r} and is {now!r} now; set it as it was, or start anew"
    return f"the {part} are others now (they differ in {name}); give the same ones, or start anew"


def _hash(values: Sequence[object]) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(json.dumps(value, sort_keys=True, default=_plain).encode() + b"\n")
    return digest.hexdigest()


def _plain(value: object) -> object:
    """JSON for what a row may hold beside it: pictures, and what a table knows as dates or decimals."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return dict(value) if isinstance(value, Mapping) else str(value)
