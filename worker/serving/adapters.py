"""Several LoRA adapters on one base model: each row of a batch runs with its own adapter, or with none.

PEFT stores them next to each other in each layer. If all rows share one, it is activated and the fused layer
(`lora.py`) does the work; otherwise each layer receives the adapter name of each row.
"""

import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from peft.tuners.lora.layer import LoraLayer
from torch import nn

from worker.engine.model.adapter_files import Adapter, fill_adapter
from worker.engine.model.lora import FusedLoraLinear
from worker.engine.model.policy import Policy

NO_ADAPTER = "__base__"
"""PEFT's name for a row without an adapter."""


class AdaptedBase:
    """A base model with at most `max_adapters` adapters. Least-recently-used adapters are evicted."""

    def __init__(self, policy: Policy, *, max_adapters: int) -> None:
        self.policy = policy
        self.max_adapters = max_adapters
        self._peft: PeftModel | None = None
        self._adapters: OrderedDict[str, None] = OrderedDict()
        self._row_adapters: list[str] | None = None
        self._active: str | None = None
        self._hooked: set[int] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._adapters

    def add(self, name: str, adapter: Adapter, *, in_use: set[str]) -> None:
        """Load an adapter under a name without dots. Raises ValueError if it belongs to another model."""
        for other in [known for known in self._adapters if known not in in_use][
            : max(0, len(self._adapters) + 1 - self.max_adapters)
        ]:
            self._evict(other)
        config = adapter.config
        config.inference_mode = True
        config._register_custom_module({nn.Linear: FusedLoraLinear})
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            if self._peft is None:
                self._peft = get_peft_model(self.policy.model, config, adapter_name=name)
            else:
                self._peft.add_adapter(name, config)
        self._peft.eval()
        self._adapters[name] = None
        self._active = None
        try:
            fill_adapter(replace(self.policy, model=self._peft), name, adapter.tensors)
        except ValueError:
            self._evict(name)
            raise
        for module in self.policy.model.modules():
            if isinstance(module, LoraLayer) and id(module) not in self._hooked:
                module.register_forward_pre_hook(self._pass_adapter_names, with_kwargs=True)
                self._hooked.add(id(module))

    def use(self, names: Sequence[str | None]) -> None:
        """Set the adapter of each row, or None, from the next forward pass on."""
        if self._peft is None:
            assert not any(names)
            return
        for name in filter(None, dict.fromkeys(names)):
            self._adapters.move_to_end(name)
        only = names[0] if len(set(names)) == 1 else None
        self._row_adapters = None if only else [name or NO_ADAPTER for name in names]
        if only is not None and only != self._active:
            self._peft.base_model.set_adapter(only, inference_mode=True)
            self._active = only

    def _evict(self, name: str) -> None:
        assert self._peft is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT warns which adapter is active now; `use` sets it for the next pass
            self._peft.delete_adapter(name)
        del self._adapters[name]
        self._active = None

    def _pass_adapter_names(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        return None if self._row_adapters is None else (args, kwargs | {"adapter_names": self._row_adapters})
