"""Layers that get a LoRA adapter: their names, checked against the model before its weights are read."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from worker.engine.faults import Fault, FaultCode
from worker.engine.model.assets import ModelAssets
from worker.engine.model.loading import loading_errors_as_faults

ALL_LINEAR = "all-linear"
ADAPTABLE = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, Conv1D)
"""Kinds of layers that PEFT can adapt."""


def require_targets(assets: ModelAssets, targets: str | tuple[str, ...], *, allow_remote_code: bool) -> None:
    """Raise a Fault naming a target that no layer has, or whose weight another layer uses too.

    Reads no weights. In a vision-language model, only layers of its language model count.
    """
    if targets == ALL_LINEAR:
        return
    with loading_errors_as_faults(), torch.device("meta"):
        base = assets.model_class.from_config(assets.config, trust_remote_code=allow_remote_code)
    base.tie_weights()
    root = base if assets.processor is None else base.get_decoder()
    layers = {name: layer for name, layer in root.named_modules() if _is_adaptable(layer)}
    shared = _shared(base)
    matches = _matches_pattern if root is base and is_pattern(base, targets) else _matches
    for target in target_names(targets):
        matching = [layer for name, layer in layers.items() if matches(name, target)]
        if not matching:
            raise _fault(f"'{target:.100}' is the name of no layer of the model", _last_parts(layers))
        if partner := next(filter(None, (shared.get(id(layer)) for layer in matching)), None):
            raise _fault(
                f"'{target:.100}' shares its weight with '{partner}', so the adapter could never be merged",
                _last_parts(name for name, layer in layers.items() if id(layer) not in shared),
            )


def _is_adaptable(layer: nn.Module) -> bool:
    """Return whether PEFT can adapt a layer: not embeddings that take something else than ids, as of positions."""
    if isinstance(layer, nn.Embedding):
        return type(layer).forward is nn.Embedding.forward
    return isinstance(layer, ADAPTABLE)


def target_names(targets: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of layers; a single text is one name."""
    return (targets,) if isinstance(targets, str) else targets


def is_pattern(base: Any, targets: str | tuple[str, ...]) -> bool:
    """Return whether the targets are a pattern of full names, which jobs of earlier versions may have."""
    return isinstance(targets, str) and not any(_matches(name, targets) for name, _ in base.named_modules())


def _matches_pattern(name: str, target: str) -> bool:
    """Apply PEFT's rule for a single text."""
    try:
        return re.fullmatch(target, name) is not None
    except re.error:
        return False


def _matches(name: str, target: str) -> bool:
    """Apply PEFT's rule: a layer's full name, or the end of it after a dot."""
    return name == target or name.endswith(f".{target}")


def _shared(base: Any) -> dict[int, str]:
    """Return the last part of the name of another layer with the same weight, by the layer's `id`."""
    users: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for name, layer in base.named_modules():
        if isinstance(layer, ADAPTABLE):
            users[id(layer.weight)].append((id(layer), name.rpartition(".")[2]))
    several = [found for found in users.values() if len(found) > 1]
    return {user: next(name for other, name in found if other != user) for found in several for user, _ in found}


def _last_parts(names: Iterable[str]) -> str:
    return ", ".join(sorted({name.rpartition(".")[2] for name in names}))


def _fault(problem: str, available: str) -> Fault:
    message = f"lora.target_modules: {problem}: choose from {available}, or use {ALL_LINEAR}"
    return Fault(FaultCode.NO_SUCH_LAYER, message, param="lora.target_modules")
