"""Checkpoints: adapter, snapshot, optimizer moments and the state of the run, as one safetensors file.

Data order, sampling and dropout are functions of the seed and the step, so there is no generator state to store.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import load, save
from torch import Tensor

from backend.core.settings.choices import RewardScale
from backend.core.settings.spec import MAY_CHANGE, RlsdSettings
from worker.engine.model.adapter_files import Adapter
from worker.engine.model.policy import LIVE_ADAPTER, SNAPSHOT_ADAPTER, Policy
from worker.engine.settings import Settings
from worker.engine.types import QuestionScores, Task

SETTINGS = "settings"
PROMPT = "prompt_messages"

Fingerprint = dict[str, dict[str, Any]]
"""Identity of a run as plain JSON: its settings, and hashes of its rows."""


BEFORE_IT_WAS_A_SETTING = {"skip_special_tokens": True}
"""How runs of before a setting was introduced behaved, where that is not its default."""

READ_BY: Mapping[str, Callable[[Any], Any]] = {"scale_rewards": RewardScale}
"""What reads the values that a setting had before it got others."""


def fingerprint(settings: Settings, *, tasks: Sequence[Task], held_out: Sequence[Task]) -> Fingerprint:
    """Compute the run's fingerprint: its settings by name, and a hash for each field of its rows."""
    return {SETTINGS: _named(settings), "training rows": _hashes(tasks), "held-out rows": _hashes(held_out)}


def _named(settings: RlsdSettings) -> dict[str, Any]:
    """Return the settings that a resumed run may not change, as plain JSON; those of LoRA begin with `lora_`."""
    named = settings.model_dump(mode="json", exclude=set(MAY_CHANGE))
    for section in ("lora", "warm_start", "practice"):
        inner = named.pop(section) or {}
        named |= {f"{section}_{name}": value for name, value in inner.items()}
    return named | {"practice": settings.practice is not None}


def _hashes(tasks: Sequence[Task]) -> dict[str, str]:
    """Hash each field over all rows, in order. `prompt_messages` are the messages that the model gets, as they are."""
    values = {field.name: [getattr(task, field.name) for task in tasks] for field in fields(Task)}
    return {name: _hash(of_rows) for name, of_rows in (values | {PROMPT: [task.prompt for task in tasks]}).items()}


FORMAT = 1
KEPT = "kept."
"""What the names of the best step's adapter begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """State of a run besides its tensors."""

    step: int
    """Optimizer steps taken."""
    baseline: list[QuestionScores] | None
    """Held-out scores before training."""
    warm: list[QuestionScores] | None = None
    """Held-out scores after the warm start."""
    score: float | None
    """Mean of the held-out evaluation at this step; None where there was none yet."""
    used: float = 0.0
    """Budget used so far."""
    watched: dict[str, Any] = field(default_factory=dict)
    """State of the watchdog (`watchdog.py`)."""
    history: dict[str, Any] = field(default_factory=dict)
    """How often rows were solved (`drawing.py`); empty where rows are drawn in passes."""
    kept: dict[str, Any] | None = None
    """The best step so far (`keeping.py`), where the best is kept; its adapter is among the tensors."""
    fingerprint: Fingerprint | None = None
    """Identity of the run. None in checkpoints of versions without fingerprints, which any matching run may resume."""


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    """Content of a checkpoint."""

    run_state: RunState
    tensors: Mapping[str, Tensor]

    @property
    def kept_adapter(self) -> dict[str, Tensor]:
        """The adapter of the best step so far; empty where none is kept."""
        return {name.removeprefix(KEPT): value for name, value in self.tensors.items() if name.startswith(KEPT)}


def pack(
    policy: Policy, optimizer: torch.optim.AdamW, *, run_state: RunState, kept_adapter: Mapping[str, Tensor]
) -> bytes:
    """Serialize a run to a checkpoint."""
    tensors = {f"{KEPT}{name}": value for name, value in kept_adapter.items()}
    for name, parameter in policy.adapter(LIVE_ADAPTER).items():
        tensors[f"adapter.{name}"] = parameter.detach()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    for name, parameter in policy.adapter(SNAPSHOT_ADAPTER).items():
        tensors[f"snapshot.{name}"] = parameter.detach()
    # One entry: safetensors writes several in random order, but equal states must give equal bytes.
    metadata = {"rlsd": json.dumps({"format": FORMAT} | asdict(run_state))}
    blob: bytes = save({key: value.cpu().contiguous() for key, value in tensors.items()}, metadata=metadata)
    return blob


def unpack(data: bytes) -> LoadedCheckpoint:
    """Read a checkpoint. ValueError for other files."""
    header_size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + header_size]).get("__metadata__", {})
    state = json.loads(metadata.get("rlsd", "{}"))
    if state.pop("format", None) != FORMAT:
        raise ValueError("this is not a checkpoint of a training run")
    return LoadedCheckpoint(RunState(**state), load(data))


def restore(policy: Policy, optimizer: torch.optim.AdamW, *, checkpoint: LoadedCheckpoint) -> None:
    """Restore a checkpoint into a policy of the same model and settings. ValueError when they do not match."""
    adapters = {"adapter": policy.adapter(LIVE_ADAPTER), "snapshot": policy.adapter(SNAPSHOT_ADAPTER)}
    expected = {f"{kind}.{name}" for kind, adapter in adapters.items() for name in adapter}
    found = {key for key in checkpoint.tensors if not key.startswith(("optimizer.", KEPT))}
    if expected != found:
        raise ValueError("the checkpoint belongs to another model or has other LoRA target modules")
    with torch.no_grad():
        for kind, adapter in adapters.items():
            for name, parameter in adapter.items():
                tensor = checkpoint.tensors[f"{kind}.{name}"]
                if tensor.shape != parameter.shape:
                    raise ValueError(
                        f"the checkpoint's {name} has the shape {tuple(tensor.shape)}, not {tuple(parameter.shape)}"
                    )
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
    """Read the adapter from a checkpoint of a run with this rank and alpha. ValueError for other files."""
    prefix = "adapter."
    named = ((name, value) for name, value in unpack(data).tensors.items() if name.startswith(prefix))
    tensors = {name.removeprefix(prefix): value for name, value in named}
    modules = {name.removeprefix("base_model.model.").partition(".lora_")[0] for name in tensors}
    return Adapter(LoraConfig(r=r, lora_alpha=alpha, target_modules=sorted(modules), task_type="CAUSAL_LM"), tensors)


def require_same_run(recorded: Fingerprint | None, present: Fingerprint) -> None:
    """Raise a ValueError naming the difference between a checkpoint's fingerprint and that of the resuming run.

    A checkpoint of an earlier version goes on as it began. A setting that it lacks had its default then, or the value
    in `BEFORE_IT_WAS_A_SETTING`. Fields of rows that it lacks are not compared; nor is anything where it has no
    fingerprint.
    """
    if recorded is None:
        return
    for part, new in present.items():
        known = recorded.get(part, {})
        old = _settings_then(known) if part == SETTINGS else _rows_then(known)
        for name in new:
            if name in old and old[name] != new[name]:
                difference = _difference(part, name, old=old[name], new=new[name])
                raise ValueError(f"the checkpoint belongs to another run: {difference}")


def _settings_then(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of a run, with those that it was too early to record."""
    then = {**_named(RlsdSettings()), **BEFORE_IT_WAS_A_SETTING, **recorded}
    return then | {name: read(then[name]) for name, read in READ_BY.items()}


def _rows_then(recorded: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the hashes of a run's rows; `messages` were those that the model gets, where there are no others."""
    if PROMPT in recorded or "messages" not in recorded:
        return recorded
    return {name: value for name, value in recorded.items() if name != "messages"} | {PROMPT: recorded["messages"]}


def _difference(part: str, name: str, *, old: object, new: object) -> str:
    if part == SETTINGS:
        return f"{name} was {old!r} and is now {new!r}; restore it, or start a new run"
    return f"the {part} have changed (in the field {name}); use the same rows, or start a new run"


def _hash(values: Sequence[object]) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(json.dumps(value, sort_keys=True, default=_to_json).encode() + b"\n")
    return digest.hexdigest()


def _to_json(value: object) -> object:
    """Convert values of rows that JSON does not support: image bytes, and dates or decimals from tables."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return dict(value) if isinstance(value, Mapping) else str(value)
