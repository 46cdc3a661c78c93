"""Owns several adapters on one base model: each row of a batch is run with its own, or with none.

PEFT keeps them side by side in each layer. Where all rows share one, it is made the active one and the fused layer
(`lora.py`) does the work; else each layer is told the name of each row's adapter.
"""

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from peft.tuners.lora.layer import LoraLayer
from torch import Tensor, nn

from worker.engine.model.adapter_files import Adapter
from worker.engine.model.lora import FusedLoraLinear
from worker.engine.model.policy import Policy

NO_ADAPTER = "__base__"
"""PEFT's name for a row that is run without one."""


class AdaptedBase:
    """A base model and the adapters on it, at most `most`; the one used longest ago makes room for a new one."""

    def __init__(self, policy: Policy, *, most: int) -> None:
        self.policy = policy
        self.most = most
        self._peft: PeftModel | None = None
        self._known: OrderedDict[str, None] = OrderedDict()
        self._names: list[str] | None = None
        self._active: str | None = None
        self._told: set[int] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def put(self, name: str, adapter: Adapter, *, in_use: set[str]) -> None:
        """Put it on the base under a name without dots. ValueError where it was made for another model."""
        for other in [known for known in self._known if known not in in_use][
            : max(0, len(self._known) + 1 - self.most)
        ]:
            self._drop(other)
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
        self._known[name] = None
        self._active = None
        try:
            self._fill(name, adapter.tensors)
        except ValueError:
            self._drop(name)
            raise
        for module in self.policy.model.modules():
            if isinstance(module, LoraLayer) and id(module) not in self._told:
                module.register_forward_pre_hook(self._tell, with_kwargs=True)
                self._told.add(id(module))

    def use(self, names: Sequence[str | None]) -> None:
        """From the next pass on, row by row: the adapter of this name, or none."""
        if self._peft is None:
            assert not any(names)
            return
        for name in filter(None, dict.fromkeys(names)):
            self._known.move_to_end(name)
        only = names[0] if len(set(names)) == 1 else None
        self._names = None if only else [name or NO_ADAPTER for name in names]
        if only is not None and only != self._active:
            self._peft.base_model.set_adapter(only, inference_mode=True)
            self._active = only

    def _fill(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        parameters = replace(self.policy, model=self._peft).adapter(name)
        if {key: value.shape for key, value in parameters.items()} != {key: t.shape for key, t in tensors.items()}:
            raise ValueError("the adapter was made for another model")
        with torch.no_grad():
            for key, parameter in parameters.items():
                parameter.copy_(tensors[key])

    def _drop(self, name: str) -> None:
        assert self._peft is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT tells which adapter is active next; the next pass says so itself
            self._peft.delete_adapter(name)
        del self._known[name]
        self._active = None

    def _tell(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        return None if self._names is None else (args, kwargs | {"adapter_names": self._names})
