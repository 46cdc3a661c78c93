"""Owns sampling with vLLM (the extra `[vllm]`): its engine holds the base model, the adapter is handed over in files.

Before the first sampling after an optimizer step the live adapter is written to a temporary folder and loaded as a new
`LoRARequest`. vLLM's numbers are not bit for bit those of the training forward; `rho` tells how far they are apart, as
in `update.py`. Not supported are contexts with images, several processes, bases that come as .gguf, and adapters on
embeddings.

Written for vLLM 0.30, the newest that takes the torch and the transformers of this project, from its documentation. It
has not been run: tests cover what is here without vLLM, and nothing else.
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
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The largest ranks that vLLM can be set up for."""


class VllmSampler:
    """An engine of vLLM beside the policy that is trained."""

    def __init__(self, policy: Policy, *, settings: Settings) -> None:
        """Start the engine. ValueError where vLLM is not installed or cannot serve these settings."""
        try:
            import vllm
            from vllm.lora.request import LoRARequest
        except ImportError as error:
            raise ValueError(
                "generator is vllm, but vLLM is not installed: pip install 'rlsd-workbench[vllm]', or choose "
                "transformers"
            ) from error
        if policy.device.type != "cuda":
            raise ValueError("generator is vllm, which needs a CUDA device: choose transformers")
        require_servable(policy)
        rank = largest_rank(settings.lora_r)
        self.policy = policy
        self._sampling_params: Any = vllm.SamplingParams
        self._lora_request: Any = LoRARequest
        self._name = str(causal_model(policy).name_or_path)
        self._engine: Any = vllm.LLM(
            model=self._name,
            load_format="safetensors",  # else a pickle would do where there are none, and opening one can run code
            dtype=settings.dtype,
            enable_lora=True,
            max_loras=1,
            max_lora_rank=rank,
            max_model_len=min(policy.max_positions, settings.max_prompt_tokens + settings.max_completion_tokens),
            gpu_memory_utilization=MEMORY_SHARE,
            enable_prefix_caching=True,
            generation_config="vllm",  # else the model's own top-p and top-k would change the distribution
            logprobs_mode="processed_logprobs",  # else they would be those at temperature 1
            trust_remote_code=policy.allows_remote_code,
            seed=settings.seed % 2**31,
        )
        self._files = AdapterFiles(policy, base_model=self._name)

    def sample(
        self, prompts: Sequence[Prompt], *, num_generations: int, uniforms_TB: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        max_tokens, num_sequences = uniforms_TB.shape
        firsts = uniforms_TB[0, ::num_generations].tolist()  # a number of its own for each prompt
        params = [
            self._sampling_params(
                n=num_generations,
                temperature=temperature,
                top_p=1.0,
                top_k=-1,
                max_tokens=max_tokens,
                stop_token_ids=list(self.policy.eos_ids),
                logprobs=0,
                seed=int(first * 2**31),
                detokenize=False,
            )
            for first in firsts
        ]
        answers = self._engine.generate(
            [{"prompt_token_ids": list(prompt.student.ids)} for prompt in prompts],
            sampling_params=params,
            lora_request=self._adapter(),
            use_tqdm=False,
        )
        found = [output for answer in answers for output in answer.outputs]
        return as_tensors(found, policy=self.policy, shape=(num_sequences, max_tokens))

    def _adapter(self) -> Any:
        """The live adapter as vLLM loads it."""
        number, folder = self._files.newest()
        return self._lora_request(f"adapter-{number}", number, str(folder))


class AdapterFiles:
    """The live adapter as files, in a folder with a number of its own for each state; only the newest is kept."""

    def __init__(self, policy: Policy, *, base_model: str) -> None:
        self.policy, self.base_model = policy, base_model
        self._place = tempfile.TemporaryDirectory(prefix="adapter-")
        self._written: list[Tensor] = []
        self._number = 0

    def newest(self) -> tuple[int, Path]:
        """Number and folder of the adapter as it is now; the same as the last time where it has not changed."""
        # Compared by value: a fused optimizer changes parameters without counting up their versions.
        present = [parameter.detach() for parameter in self.policy.adapter(LIVE_ADAPTER).values()]
        known = bool(self._written) and all(map(torch.equal, present, self._written))
        if not known:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._number += 1
            export_adapter(self.policy, self._folder, base_model=self.base_model)
            self._written = [values.clone() for values in present]
        return self._number, self._folder

    @property
    def _folder(self) -> Path:
        return Path(self._place.name) / str(self._number)


def require_servable(policy: Policy) -> None:
    """ValueError where the engine cannot hold this base, or cannot be handed its adapter."""
    unfit = {
        "models that read images": policy.vision is not None,
        "a base that comes as .gguf": gguf_in(str(causal_model(policy).name_or_path)) is not None,
        "lora.target_modules that name embeddings": any(
            ".lora_embedding_" in name for name in policy.adapter(LIVE_ADAPTER)
        ),
    }
    for what, found in unfit.items():
        if found:
            raise ValueError(f"generator is vllm, which is not supported for {what}: use transformers")


def largest_rank(lora_r: int) -> int:
    """What the engine is set up for so that it takes an adapter of this rank. ValueError where nothing does."""
    rank = next((rank for rank in RANKS if rank >= lora_r), None)
    if rank is None:
        raise ValueError(f"generator is vllm, which takes adapters up to rank {RANKS[-1]}, got {lora_r}")
    return rank


def as_tensors(outputs: Sequence[Any], *, policy: Policy, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Ids and log-probabilities of vLLM's outputs, `[B, T]`, T cut to the longest; ends of sequence behind each.

    ValueError where an output has no log-probability for each of its tokens.
    """
    ids_BT = torch.full(shape, policy.eos_ids[0])
    logps_BT = torch.zeros(shape)
    longest = 1
    for row, output in enumerate(outputs):
        ids = list(output.token_ids)
        if output.logprobs is None or len(output.logprobs) != len(ids):
            raise ValueError(f"vLLM answered {len(ids)} tokens without a log-probability for each")
        longest = max(longest, len(ids))
        ids_BT[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
        said = [known[token].logprob for token, known in zip(ids, output.logprobs, strict=True)]
        logps_BT[row, : len(ids)] = torch.tensor(said)
    return ids_BT[:, :longest].to(policy.device), logps_BT[:, :longest].to(policy.device)
