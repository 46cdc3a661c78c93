"""What an adapter was made of: hashes of data, verifier, base model and code, every setting, package versions."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from backend.settings import REPOSITORY
from backend.settings import settings as environment

PACKAGES = ("torch", "transformers", "peft", "safetensors", "numpy", "scipy", "pillow")
FORMAT = 1
BASE_FILES = ("*.json", "*.jinja", "*.safetensors", "*.gguf")
"""Configuration, tokenizer, chat template and weights of a base model in a folder."""


def build_manifest(
    *,
    job: Mapping[str, Any],
    data: Mapping[str, Any],
    grader: Mapping[str, Any],
    base: Mapping[str, Any],
    settings: Mapping[str, Any],
    evaluations: list[Mapping[str, Any]],
    steps: int,
    sandbox: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of `manifest.json`; all values are JSON."""
    return {
        "format": FORMAT,
        "job": dict(job),
        "base_model": dict(base),
        "data": dict(data),
        "verifier": dict(grader),
        "settings": dict(settings),
        "steps": steps,
        "evaluations": [dict(evaluation) for evaluation in evaluations],
        "sandbox": dict(sandbox),
        "torch_threads": environment().torch_threads,
        "code": {"version": version("rlsd-workbench"), "sha256": source_sha256()},
        "packages": {name: version(name) for name in PACKAGES},
    }


def source_sha256(root: Path = REPOSITORY) -> str:
    """SHA-256 over path and content of every Python file of the backend and the worker."""
    return folder_sha256(root, patterns=("backend/**/*.py", "worker/**/*.py"))


def base_model_identity(model: str, *, source: str, commit: str | None, remote_code: bool) -> dict[str, Any]:
    """How to find the base again: the hub's commit, or the hash of a folder's files (`BASE_FILES`).

    `remote_code`: whether code that comes with a model was allowed to run; that of a folder is hashed too.
    """
    folder, patterns = Path(source), (*BASE_FILES, *(("*.py",) if remote_code else ()))
    if folder.is_dir():
        return {"name": model, "sha256": folder_sha256(folder, patterns=patterns), "remote_code_allowed": remote_code}
    return {"name": model, "hub_id": source, "commit": commit, "remote_code_allowed": remote_code}


def base_name(manifest: Mapping[str, Any]) -> str:
    """What `base_model_name_or_path` says: the hub id where there is one, else the name the model has here."""
    base = manifest["base_model"]
    return str(base.get("hub_id", base["name"]))


def folder_sha256(root: Path, *, patterns: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in root.glob(pattern)}):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
