"""Adapter files: written from a policy, read from an archive."""

import dataclasses
import io
import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import load, save_file
from torch import Tensor

from worker.engine.model.policy import LIVE_ADAPTER, Policy

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
OLDEST_PEFT = "0.10.0"
"""The oldest version of PEFT with which written adapters were loaded (`benchmarks/old_peft.py`)."""
ALWAYS_WRITTEN = (
    *("peft_type", "task_type", "base_model_name_or_path", "inference_mode", "target_modules"),
    *("r", "lora_alpha", "lora_dropout", "bias", "fan_in_fan_out", "init_lora_weights", "use_rslora", "use_dora"),
)
"""Keys that `OLDEST_PEFT` knows, and whose value must not depend on the defaults of the version that reads them."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A PEFT adapter: configuration, and parameters by their name in the model."""

    config: Any
    tensors: Mapping[str, Tensor]


def adapter_from_archive(data: bytes) -> Adapter:
    """Read an adapter from the ZIP of a finished job. ValueError where it is not one."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / CONFIG).write_bytes(archive.read(CONFIG))
            return Adapter(LoraConfig.from_pretrained(scratch), load(archive.read(WEIGHTS)))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"this is not an adapter archive: {error}") from error


def fill_adapter(policy: Policy, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Set the values of the policy's adapter. ValueError if they belong to another model or other target modules."""
    parameters = policy.adapter(name)
    if {key: value.shape for key, value in parameters.items()} != {key: t.shape for key, t in tensors.items()}:
        raise ValueError("the adapter belongs to another model or to other LoRA target modules")
    with torch.no_grad():
        for key, parameter in parameters.items():
            parameter.copy_(tensors[key])


def export_adapter(policy: Policy, folder: Path, *, base_model: str) -> None:
    """Write the trained adapter in PEFT's format: `adapter_config.json` and `adapter_model.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in policy.adapter(LIVE_ADAPTER).items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config = written_config(policy.model.peft_config[LIVE_ADAPTER])
    config |= {"base_model_name_or_path": base_model, "inference_mode": True}
    text = json.dumps(config, indent=2, sort_keys=True, default=_plain)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def written_config(config: LoraConfig) -> dict[str, Any]:
    """Return the configuration without nulls, and without options left at their default besides `ALWAYS_WRITTEN`.

    PEFT refuses keys that its version does not know, so an option is named only by adapters that use it.
    """
    defaults = {field.name: _default(field) for field in dataclasses.fields(config)}
    return {
        name: value
        for name, value in config.to_dict().items()
        if value is not None
        and name != "peft_version"
        and (name in ALWAYS_WRITTEN or value != defaults.get(name, dataclasses.MISSING))
    }


def _default(field: "dataclasses.Field[Any]") -> object:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _plain(value: object) -> object:
    """Convert the sets in PEFT's configurations for JSON."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"cannot write {type(value).__name__} into adapter_config.json")
