"""A faulty GGUF converter with llama.cpp's command line: it zeroes the output of the last layer."""

import argparse
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from worker.engine.export.gguf import write_gguf
from worker.exports.gguf_converter import OUT_TYPES


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--outfile", type=Path, required=True)
    parser.add_argument("--outtype", choices=list(OUT_TYPES.values()), required=True)
    arguments = parser.parse_args()
    path = arguments.folder / "model.safetensors"
    tensors = load_file(path)
    last = max(name for name in tensors if name.endswith("mlp.down_proj.weight"))
    path.unlink()
    save_file(tensors | {last: tensors[last] * 0}, path, metadata={"format": "pt"})
    dtype = next(name for name, out_type in OUT_TYPES.items() if out_type == arguments.outtype)
    write_gguf(arguments.folder, arguments.outfile, name="broken", dtype=dtype)


if __name__ == "__main__":
    sys.exit(main())
