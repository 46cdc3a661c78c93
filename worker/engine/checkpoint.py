"""Owns what a run needs to go on elsewhere: adapter, snapshot, optimizer moments and where it stands, as one blob.

The blob is a safetensors file. Data order, sampling and dropout are functions of the seed and the step, so no generator
state is in it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save, save_file
from torch import Tensor

from worker.engine.evaluate import QuestionScores
from worker.engine.fingerprint import Fingerprint
from worker.engine.policy import LIVE_ADAPTER, SNAPSHOT_ADAPTER, Policy

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on its way out."""

    step: int
    """Optimizer steps taken."""
    data: bytes
    """One safetensors file."""
    score: float | None
    """Mean of the held-out evaluation at this step, if there was one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
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
class Unpacked:
    """A checkpoint read back."""

    standing: Standing
    tensors: Mapping[str, Tensor]


def pack(policy: Policy, optimizer: torch.optim.AdamW, *, standing: Standing) -> bytes:
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


def unpack(data: bytes) -> Unpacked:
    """Read a checkpoint. ValueError when it is not one of ours."""
    header_size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + header_size]).get("__metadata__", {})
    state = json.loads(metadata.get("rlsd", "{}"))
    if state.pop("format", None) != FORMAT:
        raise ValueError("this is not a checkpoint of a training run")
    return Unpacked(Standing(**state), load(data))


def restore(policy: Policy, optimizer: torch.optim.AdamW, *, checkpoint: Unpacked) -> None:
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


def export_adapter(policy: Policy, folder: Path, *, base_model: str) -> None:
    """Write the trained adapter as PEFT reads it: `adapter_config.json` and `adapter_model.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in policy.adapter(LIVE_ADAPTER).items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = policy.model.peft_config[LIVE_ADAPTER].to_dict()
    config |= {"base_model_name_or_path": base_model, "inference_mode": True}
    text = json.dumps(config, indent=2, sort_keys=True, default=_plain)
    (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")


def _plain(value: object) -> object:
    """JSON for the sets that PEFT keeps in its configurations."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"cannot write {type(value).__name__} into adapter_config.json")
