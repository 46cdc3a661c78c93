"""Owns the model: one base, the trainable adapter "default" on it and the frozen adapter "snapshot" beside it.

Models come from a hub id or a folder, as safetensors or as one .gguf file in the folder. Code that comes with a model
is run only where whoever loads it says so.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers.utils import is_flash_attn_2_available

from worker.engine.faults import Fault, FaultCode, memory_named
from worker.engine.model.assets import load_kit, max_positions_of, require_chat_template, without_progress_bars
from worker.engine.model.loading import require_all_weights, told_plainly
from worker.engine.model.lora import FusedLoraLinear
from worker.engine.model.vision import ImageSpans, Vision
from worker.engine.seeds import derive
from worker.engine.settings import Settings
from worker.engine.types import TeacherWeights

LIVE_ADAPTER = "default"
SNAPSHOT_ADAPTER = "snapshot"
ZERO_AT_FIRST = re.compile(r"\.lora_(B|embedding_A)(?=\.|$)")
"""Adapter parameters that PEFT begins with zeros."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A causal language model with its tokenizer and two adapters."""

    model: Any
    """The `PeftModel`."""
    tokenizer: Any
    device: torch.device
    pad_id: int
    eos_ids: tuple[int, ...]
    """Every token that ends a completion."""
    vision: Vision | None = None
    """What reads images; None for a model of text."""
    sharded: bool = False
    """Whether the base's layers lie in slices in several processes (`sharding.py`): no pass may be compiled then."""
    allows_remote_code: bool = False
    """Whether code that came with the model was allowed to run."""

    @property
    def max_positions(self) -> int:
        """Longest sequence the model was built for."""
        return max_positions_of(self.model.config)

    def as_input(self, ids: Tensor) -> Tensor:
        """Sampled ids as the model is to read them."""
        return ids if self.vision is None else self.vision.as_input(ids, pad_id=self.pad_id)

    def image_inputs(self, sights: Sequence[ImageSpans | None], *, starts: Sequence[int], width: int) -> dict[str, Any]:
        """What the model is given beside `[B, width]` ids for contexts that begin at the columns `starts`."""
        if self.vision is None:
            assert not any(sights)  # a reader without eyes makes no such contexts
            return {}
        return self.vision.inputs(sights, starts=starts, width=width)

    def adapter(self, name: str) -> dict[str, nn.Parameter]:
        """The adapter's parameters by their place in the model, in a fixed order."""
        # `lora_A.default.weight` on most layers, `lora_embedding_A.default` on embeddings.
        part = re.compile(rf"(\.lora_\w+)\.{re.escape(name)}(?=\.|$)")
        named = ((key, value) for key, value in self.model.named_parameters() if part.search(key))
        return {part.sub(r"\1", key): value for key, value in sorted(named)}

    @property
    def is_trained(self) -> bool:
        """Whether the live adapter changes anything: one factor of each pair is 0 until a step moves it."""
        adapter = self.adapter(LIVE_ADAPTER)
        return any(bool(values.any()) for name, values in adapter.items() if ZERO_AT_FIRST.search(name))

    def sync_snapshot(self) -> None:
        """Copy the live adapter into the snapshot."""
        live, snapshot = self.adapter(LIVE_ADAPTER), self.adapter(SNAPSHOT_ADAPTER)
        with torch.no_grad():
            for name, parameter in snapshot.items():
                parameter.copy_(live[name])

    @contextmanager
    def weights(self, which: TeacherWeights) -> Iterator[None]:
        """Run the model with these weights inside the block. Never enter it between a forward and its backward."""
        if which is TeacherWeights.BASE:
            with self.model.disable_adapter():
                yield
        elif which is TeacherWeights.SNAPSHOT:
            self.model.base_model.set_adapter(SNAPSHOT_ADAPTER, inference_mode=True)
            try:
                yield
            finally:
                self.model.base_model.set_adapter(LIVE_ADAPTER)
        else:
            yield


def load_policy(model: str, *, settings: Settings, allow_remote_code: bool = False) -> Policy:
    """Load a causal model and put the two adapters on it; the snapshot starts as the live adapter, that is as the base.

    `model` is a hub id or a folder. Fault (a ValueError) when it cannot be used: `loading.py` says for what reasons;
    also when the tokenizer has no chat template, or nothing is known to end a sequence. ValueError when CUDA is asked
    for and there is none.
    """
    device = _device(settings.device, setting="device")
    base, tokenizer, processor = _load(model, dtype=settings.dtype, allow_remote_code=allow_remote_code)
    with memory_named("loading"):
        base = base.to(device)
        attend_fast(base)
        policy = build_policy(base, tokenizer=tokenizer, settings=settings, processor=processor)
    return replace(policy, allows_remote_code=allow_remote_code)


def _load(model: str, *, dtype: str, allow_remote_code: bool) -> tuple[Any, Any, Any | None]:
    """A base model, on the CPU, its tokenizer, and its processor if it reads images. Fault when it cannot be used."""
    kit = load_kit(model, allow_remote_code=allow_remote_code)
    with told_plainly(), without_progress_bars():
        base, loading = kit.model_class.from_pretrained(
            model,
            dtype=getattr(torch, dtype),
            trust_remote_code=allow_remote_code,
            use_safetensors=True,
            output_loading_info=True,
            **kit.source,
        )
    require_all_weights(loading["missing_keys"])
    return base, kit.tokenizer, kit.processor


def build_policy(base: Any, *, tokenizer: Any, settings: Settings, processor: Any | None = None) -> Policy:
    """A policy from a model and a tokenizer that are loaded already; with a processor, one that reads images."""
    require_chat_template(tokenizer)
    eos_ids = _eos_ids(base, tokenizer=tokenizer)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos_ids[0]
    targets = settings.lora_target_modules
    if processor is not None:
        targets = language_targets(base, targets)
    config = LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )
    config._register_custom_module({nn.Linear: FusedLoraLinear})
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT asks transformers by a name that transformers is about to drop.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        torch.manual_seed(derive(settings.seed, step=0, purpose="adapter"))
        model: PeftModel = get_peft_model(base, config, adapter_name=LIVE_ADAPTER)
        model.add_adapter(SNAPSHOT_ADAPTER, config)
    model.base_model.set_adapter(LIVE_ADAPTER)
    if settings.gradient_checkpointing:
        if not base.supports_gradient_checkpointing:
            raise ValueError(f"gradient_checkpointing is not known for {type(base).__name__}: switch it off")
        base.activation_checkpointing_enable({"use_reentrant": False})
    model.eval()
    vision = None if processor is None else Vision.of(base, processor)
    policy = Policy(model=model, tokenizer=tokenizer, device=base.device, pad_id=pad_id, eos_ids=eos_ids, vision=vision)
    policy.sync_snapshot()
    return policy


def load_external_teacher(settings: Settings, *, student: Policy) -> Policy:
    """The larger model of `opd`, in its own dtype and on its own device, without adapters.

    ValueError when none is named, when its device is not there, or when its tokenizer would read the student's tokens
    as something else.
    """
    if settings.teacher_model is None:
        raise ValueError("the method opd needs teacher_model: a hub id or folder of a model with the same tokenizer")
    device = _device(settings.teacher_device, setting="teacher_device")
    try:
        base, tokenizer, processor = _load(
            settings.teacher_model, dtype=settings.teacher_dtype, allow_remote_code=student.allows_remote_code
        )
    except Fault as fault:
        named = f"the teacher_model could not be loaded: {fault}"  # people know its name, not the server's folder
        raise Fault(fault.code, named, param="teacher_model") from fault
    if tokenizer.get_vocab() != student.tokenizer.get_vocab():
        raise ValueError(
            "the tokenizer of teacher_model is not the student's: choose a larger model of the same family"
        )
    if student.vision is not None and (processor is None or not student.vision.prepares_like(processor)):
        raise ValueError("the teacher_model does not read images as the student does")
    with memory_named("loading"):
        base = base.to(device).eval().requires_grad_(False)
        attend_fast(base)
    vision = None if processor is None else Vision.of(base, processor)
    return Policy(
        model=base,
        tokenizer=tokenizer,
        device=base.device,
        pad_id=student.pad_id,
        eos_ids=student.eos_ids,
        vision=vision,
        allows_remote_code=student.allows_remote_code,
    )


def load_untrained(model: str, *, dtype: str, device: str, allow_remote_code: bool) -> Policy:
    """The model as it is, to answer with: nothing can be trained, and no adapter is on it. Fault as `load_policy`."""
    place = _device(device, setting="device")
    base, tokenizer, processor = _load(model, dtype=dtype, allow_remote_code=allow_remote_code)
    require_chat_template(tokenizer)
    eos_ids = _eos_ids(base, tokenizer=tokenizer)
    with memory_named("loading"):
        base = base.to(place).eval().requires_grad_(False)
        attend_fast(base)
    return Policy(
        model=base,
        tokenizer=tokenizer,
        device=base.device,
        pad_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos_ids[0],
        eos_ids=eos_ids,
        vision=None if processor is None else Vision.of(base, processor),
        allows_remote_code=allow_remote_code,
    )


def attend_fast(base: Any) -> None:
    """Use flash attention where it is installed and can be: on a GPU, in 16 bits. Else it stays PyTorch's own."""
    halved = base.dtype in (torch.bfloat16, torch.float16)
    if base.device.type == "cuda" and halved and base._supports_flash_attn and is_flash_attn_2_available():
        base.set_attn_implementation("flash_attention_2")


def language_targets(base: Any, targets: str | tuple[str, ...]) -> str:
    """The pattern of the module names that LoRA adapts in a model that reads images: its language model's alone.

    "all-linear" are all linear layers there; names are looked for there. The tower that reads pixels stays as it is.
    """
    decoder = base.get_decoder()
    place = next(name for name, module in base.named_modules() if module is decoder)
    if targets == "all-linear":
        linear = (name for name, module in decoder.named_modules() if isinstance(module, nn.Linear))
        targets = tuple(sorted({name.rpartition(".")[2] for name in linear}))
    names = (targets,) if isinstance(targets, str) else targets
    return rf"{re.escape(place)}\.(?:.*\.)?(?:{'|'.join(re.escape(name) for name in names)})"


def eos_mask(completion_ids_BT: Tensor, *, eos_ids: tuple[int, ...]) -> Tensor:
    """True at end-of-sequence tokens, `[B, T]`."""
    return torch.isin(completion_ids_BT, torch.tensor(eos_ids, device=completion_ids_BT.device))


def _device(name: str, *, setting: str) -> torch.device:
    """The device of that name, "auto" being the best there is. ValueError naming the setting where there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device, visible = torch.device(name), torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= visible:
        there = f"the {visible} visible ones end with cuda:{visible - 1}" if visible else "no CUDA device is visible"
        raise ValueError(f"{setting} is {name}, but {there}")
    return device


def _eos_ids(base: Any, *, tokenizer: Any) -> tuple[int, ...]:
    ids: set[int] = set()
    generation = getattr(base, "generation_config", None)
    for declared in (getattr(generation, "eos_token_id", None), tokenizer.eos_token_id):
        if isinstance(declared, int):
            ids.add(declared)
        elif declared is not None:
            ids.update(int(value) for value in declared)
    if not ids:
        raise Fault(
            FaultCode.NO_END_OF_SEQUENCE,
            "neither the model nor its tokenizer knows an end-of-sequence token, so no completion would ever end: set "
            "eos_token_id in its generation_config.json",
            param="model",
        )
    return tuple(sorted(ids))
