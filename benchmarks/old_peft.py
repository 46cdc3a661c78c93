"""`python -m benchmarks.old_peft FOLDER`: load written adapters with older versions of PEFT, and compare logits.

Each version gets an environment of its own in FOLDER, with a transformers release of its time, installed by pip from
its configured index. torch is the installed release, on which both still run. The base is the starter; its
configuration gets the keys that transformers 4 reads.
"""

import argparse
import json
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file

from backend.settings import STARTER_MODEL
from benchmarks.runs import make_settings
from worker.engine.model.adapter_files import OLDEST_PEFT, export_adapter
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.model.policy_loading import load_policy

IDS = list(range(3, 60))
TARGETS: dict[str, str | tuple[str, ...]] = {"all-linear": "all-linear", "named": ("q_proj", "down_proj")}
MAX_DIFFERENCE = 1e-4
"""Largest accepted difference of a logit: two releases of transformers may sum in another order."""
READ = """
import sys, torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
base, adapter, ids, path = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(base, torch_dtype=torch.float32, attn_implementation="eager")
ids = torch.tensor([[int(number) for number in ids.split(",")]])
with torch.no_grad():
    plain = model(ids).logits
    adapted = PeftModel.from_pretrained(model, adapter).eval()(ids).logits
save_file({"plain": plain, "adapted": adapted}, path)
"""


@dataclass(frozen=True, slots=True)
class Release:
    """A version of PEFT with packages of its time."""

    peft: str
    others: tuple[str, ...]


RELEASES = (
    Release(OLDEST_PEFT, ("transformers==4.40.2", "accelerate==0.30.1", "numpy<2")),
    Release("0.13.2", ("transformers==4.46.3", "accelerate==1.1.1", "numpy<3")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder for environments and files; about 2 GB")
    folder: Path = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    base = _base_for_transformers_4(folder / "base")
    written = {name: _write_adapter(base, folder / name, targets) for name, targets in TARGETS.items()}
    failed = False
    for release in RELEASES:
        python = _environment(release, folder / f"peft-{release.peft}")
        for name, expected in written.items():
            found = _read(python, base, folder / name, folder / "logits.safetensors")
            difference = (found["adapted"] - expected).abs().max().item()
            effect = (found["adapted"] - found["plain"]).abs().max().item()
            failed |= not difference <= MAX_DIFFERENCE < effect
            print(f"PEFT {release.peft}, {name}: logits differ by {difference:.1e}; the adapter changes {effect:.1e}")
    sys.exit(1 if failed else 0)


def _base_for_transformers_4(folder: Path) -> Path:
    shutil.copytree(STARTER_MODEL, folder, dirs_exist_ok=True)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config |= {"torch_dtype": config["dtype"], "rope_theta": config["rope_parameters"]["rope_theta"]}
    path.write_text(json.dumps(config, indent=2))
    return folder


def _write_adapter(base: Path, folder: Path, targets: str | tuple[str, ...]) -> torch.Tensor:
    """Write a random adapter of the base and return its logits, `[1, T, V]`."""
    settings = make_settings("grpo", seed=0, lora={"target_modules": targets}, dtype="float32", device="cpu")
    policy = load_policy(str(base), settings=settings)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in policy.adapter(LIVE_ADAPTER).values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
        export_adapter(policy, folder, base_model=str(base))
        logits: torch.Tensor = policy.model(input_ids=torch.tensor([IDS])).logits
    return logits


def _environment(release: Release, folder: Path) -> Path:
    """Create the environment unless it is there, and return its interpreter."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        packages = [f"peft=={release.peft}", *release.others, f"torch=={version('torch')}"]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def _read(python: Path, base: Path, adapter: Path, path: Path) -> dict[str, torch.Tensor]:
    ids = ",".join(map(str, IDS))
    subprocess.run([str(python), "-c", READ, str(base), str(adapter), ids, str(path)], check=True)
    return load_file(path)


if __name__ == "__main__":
    main()
