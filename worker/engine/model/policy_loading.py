"""Loading of policies and of external teachers.

Models are loaded from a hub id or a folder, as safetensors or as one .gguf file in the folder. Code from a model's
repository runs only where the caller allows it.
"""

import re
import warnings
from dataclasses import replace
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers.utils import is_flash_attn_2_available

from worker.engine.faults import Fault, FaultCode, memory_errors_as_faults
from worker.engine.model.assets import (
    ModelAssets,
    load_assets,
    require_chat_template,
    without_progress_bars,
)
from worker.engine.model.loading import loading_errors_as_faults, require_all_weights
from worker.engine.model.lora import FusedLoraLinear
from worker.engine.model.policy import LIVE_ADAPTER, SNAPSHOT_ADAPTER, Policy
from worker.engine.model.targets import ALL_LINEAR, is_pattern, require_targets, target_names
from worker.engine.model.vision import Vision
from worker.engine.seeds import derive
from worker.engine.settings import Settings


def load_policy(model: str, *, settings: Settings, allow_remote_code: bool = False) -> Policy:
    """Load a causal model and add the two adapters, both of which start without effect.

    `model` is a hub id or a folder. Fault (a ValueError) when it cannot be used, for the reasons in `loading.py`, lacks
    a chat template, an end-of-sequence token or a layer to adapt. ValueError when CUDA is requested but not available.
    """
    device = _device(settings.device, setting="device")
    assets = load_assets(model, allow_remote_code=allow_remote_code)
    require_targets(assets, settings.lora.target_modules, allow_remote_code=allow_remote_code)
    base = _load(model, assets=assets, dtype=settings.dtype, allow_remote_code=allow_remote_code)
    with memory_errors_as_faults("loading"):
        base = base.to(device)
        use_flash_attention(base)
        policy = build_policy(base, tokenizer=assets.tokenizer, settings=settings, processor=assets.processor)
    return replace(policy, allows_remote_code=allow_remote_code)


def _load(model: str, *, assets: ModelAssets, dtype: str, allow_remote_code: bool) -> Any:
    """Load a base model's weights on the CPU. Fault if it cannot be used."""
    with loading_errors_as_faults(), without_progress_bars():
        base, loading = assets.model_class.from_pretrained(
            model,
            dtype=getattr(torch, dtype),
            trust_remote_code=allow_remote_code,
            use_safetensors=True,
            output_loading_info=True,
            **assets.load_kwargs,
        )
    require_all_weights(loading["missing_keys"])
    return base


def build_policy(base: Any, *, tokenizer: Any, settings: Settings, processor: Any | None = None) -> Policy:
    """Build a policy from a loaded model and tokenizer; with a processor, one that reads images."""
    require_chat_template(tokenizer)
    eos_ids = _eos_ids(base, tokenizer=tokenizer)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos_ids[0]
    targets: str | tuple[str, ...] = settings.lora.target_modules
    if processor is not None:
        targets = language_targets(base, targets)
    elif not is_pattern(base, targets):
        targets = target_names(targets)
    config = LoraConfig(
        r=settings.lora.r,
        lora_alpha=settings.lora.alpha,
        lora_dropout=settings.lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )
    config._register_custom_module({nn.Linear: FusedLoraLinear})
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT uses a name that transformers has deprecated.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        torch.manual_seed(derive(settings.seed, step=0, purpose="adapter"))
        model: PeftModel = get_peft_model(base, config, adapter_name=LIVE_ADAPTER)
        model.add_adapter(SNAPSHOT_ADAPTER, config)
    model.base_model.set_adapter(LIVE_ADAPTER)
    if settings.gradient_checkpointing:
        if not base.supports_gradient_checkpointing:
            raise ValueError(f"gradient_checkpointing is not supported by {type(base).__name__}: disable it")
        base.activation_checkpointing_enable({"use_reentrant": False})
    model.eval()
    vision = None if processor is None else Vision.of(base, processor)
    policy = Policy(
        model=model,
        tokenizer=tokenizer,
        device=base.device,
        pad_id=pad_id,
        eos_ids=eos_ids,
        vision=vision,
        skip_special_tokens=settings.skip_special_tokens,
    )
    policy.sync_snapshot()
    return policy


def load_external_teacher(settings: Settings, *, student: Policy) -> Policy:
    """Load the external teacher, in its own dtype and on its own device, without adapters.

    ValueError when its device does not exist, or when its tokenizer differs from the student's.
    """
    assert settings.teacher_model is not None
    device = _device(settings.teacher_device, setting="teacher_device")
    try:
        assets = load_assets(settings.teacher_model, allow_remote_code=student.allows_remote_code)
        base = _load(
            settings.teacher_model,
            assets=assets,
            dtype=settings.teacher_dtype,
            allow_remote_code=student.allows_remote_code,
        )
    except Fault as fault:
        message = f"the teacher_model could not be loaded: {fault}"  # users know its name, not the server's folder
        raise Fault(fault.code, message, param="teacher_model") from fault
    if assets.tokenizer.get_vocab() != student.tokenizer.get_vocab():
        raise ValueError(
            "the tokenizer of teacher_model differs from the student's: choose a larger model of the same family"
        )
    if student.vision is not None and (assets.processor is None or not student.vision.prepares_like(assets.processor)):
        raise ValueError("the teacher_model does not process images like the student: choose one of the same family")
    with memory_errors_as_faults("loading"):
        base = base.to(device).eval().requires_grad_(False)
        use_flash_attention(base)
    vision = None if assets.processor is None else Vision.of(base, assets.processor)
    return Policy(
        model=base,
        tokenizer=assets.tokenizer,
        device=base.device,
        pad_id=student.pad_id,
        eos_ids=student.eos_ids,
        vision=vision,
        allows_remote_code=student.allows_remote_code,
    )


def load_untrained(model: str, *, dtype: str, device: str, allow_remote_code: bool) -> Policy:
    """Load a model for inference only, frozen and without adapters. Fault as in `load_policy`."""
    torch_device = _device(device, setting="device")
    assets = load_assets(model, allow_remote_code=allow_remote_code)
    base, tokenizer = _load(model, assets=assets, dtype=dtype, allow_remote_code=allow_remote_code), assets.tokenizer
    require_chat_template(tokenizer)
    eos_ids = _eos_ids(base, tokenizer=tokenizer)
    with memory_errors_as_faults("loading"):
        base = base.to(torch_device).eval().requires_grad_(False)
        use_flash_attention(base)
    return Policy(
        model=base,
        tokenizer=tokenizer,
        device=base.device,
        pad_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos_ids[0],
        eos_ids=eos_ids,
        vision=None if assets.processor is None else Vision.of(base, assets.processor),
        allows_remote_code=allow_remote_code,
    )


def use_flash_attention(base: Any) -> None:
    """Enable flash attention where it is installed and possible: on a GPU, in 16 bits. Default: PyTorch's attention."""
    is_16_bit = base.dtype in (torch.bfloat16, torch.float16)
    if base.device.type == "cuda" and is_16_bit and base._supports_flash_attn and is_flash_attn_2_available():
        base.set_attn_implementation("flash_attention_2")


def language_targets(base: Any, targets: str | tuple[str, ...]) -> str:
    """Return the pattern of LoRA's module names in a vision-language model: only in its language model.

    `targets` are module names there, or "all-linear" for all its linear layers. The vision tower is not adapted.
    """
    decoder = base.get_decoder()
    prefix = next(name for name, module in base.named_modules() if module is decoder)
    if targets == ALL_LINEAR:
        linear = (name for name, module in decoder.named_modules() if isinstance(module, nn.Linear))
        targets = tuple(sorted({name.rpartition(".")[2] for name in linear}))
    names = target_names(targets)
    return rf"{re.escape(prefix)}\.(?:.*\.)?(?:{'|'.join(re.escape(name) for name in names)})"


def _device(name: str, *, setting: str) -> torch.device:
    """Return the named device; "auto" is a GPU if there is one. ValueError naming the setting if not available."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device, visible = torch.device(name), torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= visible:
        available = f"the last visible device is cuda:{visible - 1}" if visible else "no CUDA device is visible"
        raise ValueError(f"{setting} is {name}, but {available}")
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
            "neither the model nor its tokenizer defines an end-of-sequence token, so completions would never end: set "
            "eos_token_id in its generation_config.json",
            param="model",
        )
    return tuple(sorted(ids))
