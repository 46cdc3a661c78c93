"""Sampling with vLLM (the extra `[vllm]`): its engine loads the base model; the adapter is passed in files.

Before the first sampling after an optimizer step the live adapter is written to a temporary folder and loaded as a new
`LoRARequest`. vLLM's log-probabilities are not bit for bit those of the training forward; `rho` in `update.py` measures
the difference. Not supported: contexts with images, several processes, .gguf base models, adapters on embeddings.

Written from the documentation of vLLM 0.30, the newest version compatible with this project's torch and transformers.
It has not been run: tests cover only the parts that do not need vLLM.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worker.engine.model.adapter_files import export_adapter
from worker.engine.model.loading import gguf_in
from worker.engine.model.policy import LIVE_ADAPTER, Policy
from worker.engine.model.traits import causal_model
from worker.engine.rollouts.prompts import Prompt
from worker.engine.settings import Settings

MEMORY_SHARE = 0.4
"""Share of the GPU's memory that vLLM takes; the rest is for training."""
SUPPORTED_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM accepts as `max_lora_rank`."""


class VllmSampler:
    """A vLLM engine that runs next to the policy being trained."""

    def __init__(self, policy: Policy, *, settings: Settings) -> None:
        """Start the engine. ValueError if vLLM is not installed or does not support these settings."""
        try:
            import vllm
            from vllm.lora.request import LoRARequest
        except ImportError as error:
            raise ValueError(
                "generator is vllm, but vLLM is not installed: run pip install 'rlsd-workbench[vllm]', or set "
                "generator to transformers"
            ) from error
        if policy.device.type != "cuda":
            raise ValueError("generator is vllm, which needs a CUDA device: set it to transformers")
        require_supported(policy)
        rank = largest_rank(settings.lora.r)
        self.policy = policy
        self._sampling_params: Any = vllm.SamplingParams
        self._lora_request: Any = LoRARequest
        self._name = str(causal_model(policy).name_or_path)
        self._engine: Any = vllm.LLM(
            model=self._name,
            load_format="safetensors",  # by default a pickle is accepted too, and loading one can run code
            dtype=settings.dtype,
            enable_lora=True,
            max_loras=1,
            max_lora_rank=rank,
            max_model_len=min(policy.max_positions, settings.max_prompt_tokens + settings.max_completion_tokens),
            gpu_memory_utilization=MEMORY_SHARE,
            enable_prefix_caching=True,
            generation_config="vllm",  # by default the model's own top-p and top-k change the distribution
            logprobs_mode="processed_logprobs",  # by default log-probabilities are those at temperature 1
            trust_remote_code=policy.allows_remote_code,
            seed=settings.seed % 2**31,
        )
        self._files = AdapterFiles(policy, base_model=self._name)

    def sample(
        self, prompts: Sequence[Prompt], *, num_generations: int, uniforms_TB: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        max_tokens, num_sequences = uniforms_TB.shape
        prompt_uniforms = uniforms_TB[0, ::num_generations].tolist()  # one number per prompt, used as its seed
        params = [
            self._sampling_params(
                n=num_generations,
                temperature=temperature,
                top_p=1.0,
                top_k=-1,
                max_tokens=max_tokens,
                stop_token_ids=list(self.policy.eos_ids),
                logprobs=0,
                seed=int(uniform * 2**31),
                detokenize=False,
            )
            for uniform in prompt_uniforms
        ]
        request_outputs = self._engine.generate(
            [{"prompt_token_ids": list(prompt.student.ids)} for prompt in prompts],
            sampling_params=params,
            lora_request=self._adapter(),
            use_tqdm=False,
        )
        completions = [completion for output in request_outputs for completion in output.outputs]
        return as_tensors(completions, policy=self.policy, shape=(num_sequences, max_tokens))

    def _adapter(self) -> Any:
        """Return the request that makes vLLM load the live adapter."""
        version, folder = self._files.current()
        return self._lora_request(f"adapter-{version}", version, str(folder))


class AdapterFiles:
    """The live adapter as files, in a folder per version; only the newest version is kept."""

    def __init__(self, policy: Policy, *, base_model: str) -> None:
        self.policy, self.base_model = policy, base_model
        self._directory = tempfile.TemporaryDirectory(prefix="adapter-")
        self._written: list[Tensor] = []
        self._version = 0

    def current(self) -> tuple[int, Path]:
        """Return version and folder of the adapter, writing the files if it has changed since the last call."""
        # Compared by value: a fused optimizer changes parameters without incrementing their version counters.
        present = [parameter.detach() for parameter in self.policy.adapter(LIVE_ADAPTER).values()]
        unchanged = bool(self._written) and all(map(torch.equal, present, self._written))
        if not unchanged:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._version += 1
            export_adapter(self.policy, self._folder, base_model=self.base_model)
            self._written = [values.clone() for values in present]
        return self._version, self._folder

    @property
    def _folder(self) -> Path:
        return Path(self._directory.name) / str(self._version)


def require_supported(policy: Policy) -> None:
    """Raise ValueError if vLLM cannot load this base model or its adapter."""
    unsupported = {
        "models that read images": policy.vision is not None,
        "a base model in .gguf format": gguf_in(str(causal_model(policy).name_or_path)) is not None,
        "lora.target_modules that include embeddings": any(
            ".lora_embedding_" in name for name in policy.adapter(LIVE_ADAPTER)
        ),
    }
    for what, found in unsupported.items():
        if found:
            raise ValueError(f"generator is vllm, which is not supported for {what}: set it to transformers")


def largest_rank(lora_r: int) -> int:
    """Return the smallest supported `max_lora_rank` for an adapter of this rank. ValueError if there is none."""
    rank = next((rank for rank in SUPPORTED_RANKS if rank >= lora_r), None)
    if rank is None:
        raise ValueError(f"generator is vllm, which supports adapters up to rank {SUPPORTED_RANKS[-1]}, got {lora_r}")
    return rank


def as_tensors(outputs: Sequence[Any], *, policy: Policy, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Convert vLLM's outputs to ids and log-probabilities, `[B, T]`, T cut to the longest; padded with end of sequence.

    ValueError if an output lacks a log-probability for any of its tokens.
    """
    ids_BT = torch.full(shape, policy.eos_ids[0])
    logps_BT = torch.zeros(shape)
    longest = 1
    for row, output in enumerate(outputs):
        ids = list(output.token_ids)
        if output.logprobs is None or len(output.logprobs) != len(ids):
            raise ValueError(f"vLLM returned {len(ids)} tokens without a log-probability for each")
        longest = max(longest, len(ids))
        ids_BT[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
        logps = [candidates[token].logprob for token, candidates in zip(ids, output.logprobs, strict=True)]
        logps_BT[row, : len(ids)] = torch.tensor(logps)
    return ids_BT[:, :longest].to(policy.device), logps_BT[:, :longest].to(policy.device)
