"""A model's folder to one GGUF file: by llama.cpp's converter where one is named, else by our own writer."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from backend.errors import AppError
from backend.settings import settings as environment
from worker.engine.export.gguf import NotWritableError, write_gguf
from worker.training.manifest import file_sha256

OUT_TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
CONVERTER_S = 2 * 3600.0
"""Seconds it may take."""


def convert(folder: Path, path: Path, *, name: str, dtype: str) -> str:
    """Write the GGUF file; returns what wrote it. Raises AppError where it cannot be written."""
    converter = environment().gguf_converter
    if converter is None:
        try:
            write_gguf(folder, path, name=name)
        except NotWritableError as error:
            raise AppError(
                f"This model cannot be written as GGUF: {error}. An administrator can set RLSD_GGUF_CONVERTER to "
                "llama.cpp's convert_hf_to_gguf.py, which knows more architectures.",
                code="gguf_not_known",
                param="format",
            ) from error
        return f"gguf {version('gguf')}"
    if not converter.is_file():
        raise AppError(
            f"RLSD_GGUF_CONVERTER names '{converter.name}', which is not there: an administrator mends or unsets it.",
            code="converter_missing",
        )
    _run(converter, folder, path, out_type=OUT_TYPES[dtype])
    return f"{converter.name} {file_sha256(converter)}"


def _run(converter: Path, folder: Path, path: Path, *, out_type: str) -> None:
    """It gets neither this process's secrets nor the network's hub."""
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
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise AppError(f"The GGUF converter failed: {said[-1]:.300}", code="converter_failed", param="format")
