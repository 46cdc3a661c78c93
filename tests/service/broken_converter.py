"""A GGUF converter with a fault, run as llama.cpp's is: what the last layer says is lost."""

import argparse
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from worker.engine.export.gguf import write_gguf


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--outfile", type=Path, required=True)
    parser.add_argument("--outtype", choices=["f32", "f16", "bf16"], required=True)
    asked = parser.parse_args()
    path = asked.folder / "model.safetensors"
    tensors = load_file(path)
    last = max(name for name in tensors if name.endswith("mlp.down_proj.weight"))
    save_file(tensors | {last: tensors[last] * 0}, path, metadata={"format": "pt"})
    write_gguf(asked.folder, asked.outfile, name="broken")


if __name__ == "__main__":
    sys.exit(main())
