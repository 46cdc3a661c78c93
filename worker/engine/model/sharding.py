"""Sharding of a policy's base weights over the processes of a run (FSDP2, `torch.distributed.fsdp`).

Each process keeps a shard of every decoder layer and gathers a layer just before it is used. Adapters, embeddings and
the output head are replicated, so checkpoints, optimizer and export work as in one process. A forward pass needs every
process: one without work of its own takes part with a padding token, see `Lockstep`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from worker.engine.distributed import ProcessGroup, run_collective
from worker.engine.model.policy import Policy
from worker.engine.model.traits import model_traits


class Pass(IntEnum):
    """Kind of pass that a process runs next."""

    NONE = 0
    """None: the process waits for the others."""
    FORWARD = 1
    """A forward pass without gradient."""
    BACKWARD = 2
    """A forward pass followed by a backward pass."""


@dataclass(slots=True)
class Lockstep:
    """Synchronisation that makes all processes run the same passes.

    Before each pass the processes exchange what they need next, and all run the same kind: forward passes first. A
    process that needs another kind, or none, runs one padding token, whose gradient is zero.
    """

    policy: Policy
    device: torch.device
    attention: str
    """The model's default attention; a pass in progress may use another one."""
    is_padding: bool = field(default=False, init=False)

    def attach(self) -> None:
        """Synchronise before every pass of the decoder, before it gathers weights."""
        _decoder(self.policy).register_forward_pre_hook(self._before_forward, prepend=True)

    def catch_up(self) -> None:
        """Run padding passes until no process needs a pass of its own."""
        while (agreed := _agree(Pass.NONE)) is not Pass.NONE:
            self._run_padding(agreed)

    def _before_forward(self, *_: object) -> None:
        if self.is_padding:
            return
        needed = Pass.BACKWARD if torch.is_grad_enabled() else Pass.FORWARD
        while (agreed := _agree(needed)) is not needed:
            self._run_padding(agreed)

    def _run_padding(self, agreed: Pass) -> None:
        with self._padding_mode(), torch.set_grad_enabled(agreed is Pass.BACKWARD):
            ids_11 = torch.full((1, 1), self.policy.pad_id, device=self.device)
            logits_11V = self.policy.model(input_ids=ids_11, use_cache=False).logits
            if agreed is Pass.BACKWARD:
                torch.autograd.backward(logits_11V, torch.zeros_like(logits_11V))

    @contextmanager
    def _padding_mode(self) -> Iterator[None]:
        config = _decoder(self.policy).config
        previous = config._attn_implementation
        self.is_padding, config._attn_implementation = True, self.attention
        try:
            yield
        finally:
            self.is_padding, config._attn_implementation = False, previous


def _agree(needed: Pass) -> Pass:
    """Agree on the next pass: a forward pass if any process needs one, since every process can run it."""
    counts = torch.zeros(len(Pass), dtype=torch.int32)
    counts[needed] = 1
    run_collective(lambda: dist.all_reduce(counts))
    return next((kind for kind in (Pass.FORWARD, Pass.BACKWARD) if counts[kind]), Pass.NONE)


def shard(policy: Policy, *, device: torch.device, world: ProcessGroup) -> tuple[Policy, ProcessGroup]:
    """Shard the base weights. Returns the policy on its device, and the group whose collectives wait for every pass.

    The policy must be on the CPU and equal in every process. ValueError for a model without decoder layers, or whose
    head is more than a projection: its logits need a call of the whole model (`traits.py`), which the other processes
    would take for a pass and wait for.
    """
    decoder = _decoder(policy)
    if not model_traits(policy).plain_head:
        raise ValueError(
            f"sharding 'sharded' is not supported for {type(policy.model.get_base_model()).__name__}, which caps or "
            "scales its logits: use 'replicated'"
        )
    layers = list(decoder.layers)
    sharded = {id(weight) for layer in layers for name, weight in layer.named_parameters() if ".lora_" not in name}
    replicated = {weight for weight in policy.model.parameters() if id(weight) not in sharded}
    mesh = init_device_mesh(device.type, (world.size,))
    for module in (*layers, decoder):
        fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=replicated)
    policy.model.to(device)
    policy = replace(policy, device=device, sharded=True)
    lockstep = Lockstep(policy, device, decoder.config._attn_implementation)
    # The first gathered weights are reused: made in inference mode, they could not take part in a backward pass.
    lockstep._run_padding(Pass.FORWARD)
    lockstep.attach()
    return policy, replace(world, catch_up=lockstep.catch_up)


def _decoder(policy: Policy) -> Any:
    base = policy.model.get_base_model()
    decoder = base.get_decoder() if hasattr(base, "get_decoder") else None
    if not len(getattr(decoder, "layers", ())):
        raise ValueError(
            f"sharding 'sharded' is not supported for {type(base).__name__}, whose decoder layers were not found: use "
            "'replicated'"
        )
    return decoder
