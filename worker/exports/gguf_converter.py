"""Converts a model folder to one GGUF file, with llama.cpp's converter if configured, else with our own writer."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from backend.errors import AppError
from backend.settings import settings as environment
from worker.engine.export.gguf import NotWritableError, write_gguf
from worker.training.manifest import file_sha256

OUT_TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "q8_0": "q8_0"}
CONVERTER_S = 2 * 3600.0
"""Timeout in seconds."""


def convert(folder: Path, path: Path, *, name: str, dtype: str) -> str:
    """Write the GGUF file and return the name of its writer. Raises AppError if it cannot be written."""
    converter = environment().gguf_converter
    if converter is None:
        try:
            write_gguf(folder, path, name=name, dtype=dtype)
        except NotWritableError as error:
            raise AppError(
                f"This model cannot be written as GGUF: {error}. An administrator can set RLSD_GGUF_CONVERTER to "
                "llama.cpp's convert_hf_to_gguf.py, which supports more architectures.",
                code="gguf_not_known",
                param="format",
            ) from error
        return f"gguf {version('gguf')}"
    if not converter.is_file():
        raise AppError(
            f"RLSD_GGUF_CONVERTER names '{converter.name}', which does not exist: ask an administrator to correct or "
            "unset it.",
            code="converter_missing",
        )
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:  # it may write next to what it reads
        links = shutil.copytree(folder, Path(scratch) / folder.name, copy_function=os.symlink)
        _run(converter, links, path, out_type=OUT_TYPES[dtype])
    return f"{converter.name} {file_sha256(converter)}"


def _run(converter: Path, folder: Path, path: Path, *, out_type: str) -> None:
    """Run the converter, without this process's environment (secrets) and offline."""
    threads = str(environment().torch_threads)
    kept = {"HOME": str(path.parent), "LANG": "C.UTF-8", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": threads}
    command = [sys.executable, str(converter), str(folder), "--outfile", str(path), "--outtype", out_type]
    try:
        done = subprocess.run(
            command,
            env=kept,
            cwd=path.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CONVERTER_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AppError(f"The GGUF converter took longer than {CONVERTER_S:g} s.", code="converter_failed") from None
    if done.returncode != 0 or not path.exists():
        output = done.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
        raise AppError(f"The GGUF converter failed: {output[-1]:.300}", code="converter_failed", param="format")
