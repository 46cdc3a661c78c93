"""A GGUF file as an ordinary Hugging Face folder: configuration, safetensors in bfloat16, tokenizer with its template.

Needs no hub: transformers reads the file, weights, tokenizer and all.
"""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging


def write_folder(gguf: Path, folder: Path, *, end_of_turn: str) -> None:
    """Write the model of a GGUF file into an existing folder. `end_of_turn`: the token that ends an answer."""
    logging.disable_progress_bar()
    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # Rebuilt from its configuration: a model loaded from GGUF counts as quantized and cannot be saved.
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the weights have been dequantized
    config.eos_token_id = tokenizer.convert_tokens_to_ids(end_of_turn)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    model.generation_config = GenerationConfig(
        eos_token_id=config.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=config.bos_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
