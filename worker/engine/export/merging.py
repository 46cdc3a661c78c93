"""Merging an adapter into its base model, and writing the result in Hugging Face layout.

`W + scale * B A` is computed in the model's own precision, layer by layer and in place, so there is never a second copy
of the model. Weights are rounded once, when they are converted to the dtype in which they are stored.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download

from worker.engine.model.assets import without_progress_bars
from worker.engine.model.policy import LIVE_ADAPTER, Policy

COMPANIONS = (
    *("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.jinja"),
    *("chat_template.json", "generation_config.json", "*processor_config.json", "LICENSE*", "NOTICE*"),
)
"""Files next to a base model's weights that are copied unchanged."""
SHARD_SIZE = "4GB"


def merge_adapter(policy: Policy) -> Any:
    """Return the base model with the live adapter merged. The policy must not be used afterwards.

    ValueError if a layer with an adapter shares its weight with one without, which would be changed too.
    """
    _require_own_weights(policy)
    return policy.model.merge_and_unload(safe_merge=True, adapter_names=[LIVE_ADAPTER])


def save_model(model: Any, folder: Path, *, dtype: torch.dtype, tokenizer: Any, processor: Any | None) -> None:
    """Write weights and configuration in this dtype, and the tokenizer as loaded. Converts the model in place."""
    with without_progress_bars():
        model.to(dtype).save_pretrained(folder, max_shard_size=SHARD_SIZE)
    (tokenizer if processor is None else processor).save_pretrained(folder)


def convert_model(source: Path, folder: Path, *, model_class: Any, dtype: torch.dtype) -> None:
    """Write a saved model again in another dtype. Only the converted weights are in memory."""
    with without_progress_bars():
        model = model_class.from_pretrained(source, dtype=dtype, use_safetensors=True)
        model.to(dtype).save_pretrained(folder, max_shard_size=SHARD_SIZE)
    for path in source.iterdir():
        if ".safetensors" not in path.suffixes and path.name != "config.json":
            shutil.copyfile(path, folder / path.name)


def copy_companions(model: str, folder: Path) -> None:
    """Copy the base model's `COMPANIONS` to a folder, byte for byte. `model`: hub id or folder."""
    source = Path(model) if Path(model).is_dir() else Path(snapshot_download(model, allow_patterns=list(COMPANIONS)))
    for path in sorted({path for pattern in COMPANIONS for path in source.glob(pattern) if path.is_file()}):
        shutil.copyfile(path, folder / path.name)


def _require_own_weights(policy: Policy) -> None:
    places: dict[int, list[str]] = {}
    for name, parameter in policy.model.named_parameters(remove_duplicate=False):
        places.setdefault(id(parameter), []).append(name)
    for names in places.values():
        if len(names) > 1 and any(".base_layer." in name for name in names):
            raise ValueError(
                f"{names[0]} and {names[1]} share one weight, but the adapter changes only one of them, so it cannot "
                "be merged: use it as an adapter"
            )
