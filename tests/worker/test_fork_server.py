"""The process from which trainers and checks are forked."""

import subprocess
import sys

import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.training

LOOKING = """
import torch

def look(*_, **__):
    raise SystemExit("something looks for a GPU while it is imported")

for name in ("is_available", "device_count", "init", "_lazy_init", "current_device", "get_device_name"):
    setattr(torch.cuda, name, look)
import worker.preloaded
assert not torch.cuda._initialized
print("nothing looked")
"""


def test_nothing_that_it_loads_looks_for_a_gpu_which_no_child_could_use_then() -> None:
    ran = subprocess.run([sys.executable, "-c", LOOKING], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout == "nothing looked\n", ran.stderr


def test_it_has_loaded_what_a_job_needs() -> None:
    code = (
        "import sys, worker.preloaded; before = set(sys.modules)\n"
        "from backend.core.settings.spec import RlsdSettings\nfrom backend.settings import STARTER_MODEL\n"
        "from worker.training.prepare import engine_settings, load\n"
        "load(str(STARTER_MODEL), settings=engine_settings(RlsdSettings(device='cpu'), seed=1))\n"
        "print(len(set(sys.modules) - before))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(ran.stdout.splitlines()[-1]) < 20
