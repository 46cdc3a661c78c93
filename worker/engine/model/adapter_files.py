"""Adapter files: written from a policy, read from an archive."""

import io
import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import LoraConfig
from safetensors.torch import load, save_file
from torch import Tensor

from worker.engine.model.policy import LIVE_ADAPTER, Policy

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


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


def export_adapter(policy: Policy, folder: Path, *, base_model: str) -> None:
    """Write the trained adapter in PEFT's format: `adapter_config.json` and `adapter_model.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in policy.adapter(LIVE_ADAPTER).items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = policy.model.peft_config[LIVE_ADAPTER].to_dict()
    config |= {"base_model_name_or_path": base_model, "inference_mode": True}
    text = json.dumps(config, indent=2, sort_keys=True, default=_plain)
    (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")


def _plain(value: object) -> object:
    """Convert the sets in PEFT's configurations for JSON."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"cannot write {type(value).__name__} into adapter_config.json")
