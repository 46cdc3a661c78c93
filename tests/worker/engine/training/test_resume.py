"""A run of 2k steps is bit-identical to k steps, a checkpoint, a new process and k more, for every method."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from backend.core.methods import MethodName, TeacherKind, method_named
from tests.worker.engine.methods.test_opd import save_teacher
from tests.worker.engine.resume_run import run_to_end

pytestmark = pytest.mark.training

ROOT = Path(__file__).parents[4]
HALF, WHOLE = 3, 6
COMMON = {
    "max_steps": WHOLE,
    "checkpoint_interval": HALF,
    "teacher_sync_steps": 2,
    "lambda_decay_steps": 5,
    "lora_dropout": 0.1,
    "success_above": 0.4,
}
CASES = {
    "grpo": {"method": "grpo"},
    "rlsd": {"method": "rlsd"},
    "rlsd live": {"method": "rlsd", "teacher": "live", "normalise": True, "first_error": True, "eps_w": (0.8, 4.0)},
    "rlsd base": {"method": "rlsd", "teacher": "base", "hint": "placebo"},
    "rlsd_template": {"method": "rlsd_template"},
    "cepo": {"method": "cepo", "hint": "solution", "lambda_decay_steps": 0},
    "rlcsd": {"method": "rlcsd", "hint": "sibling", "lambda_decay_steps": 0},
    "opsd": {"method": "opsd"},
    "grpo_opsd": {"method": "grpo_opsd"},
    "sdpo": {"method": "sdpo", "hint": "sibling"},
    "opd": {"method": "opd"},
    "good_prefix": {"method": "good_prefix", "hint": "solution", "prefix_margin": 1},
    "resampling": {"method": "rlsd", "resample_rounds": 2, "num_generations": 2, "lambda_decay_steps": 0},
    "Dr. GRPO": {"method": "grpo", "scale_rewards": "none", "loss": "constant"},
    "MaxRL": {"method": "grpo", "scale_rewards": "mean"},
    "schedule": {"method": "grpo", "lr_schedule": "cosine", "lr_warmup_steps": 2},
    "components apart": {"method": "rlsd", "combine": "normalise", "overlong_buffer": 4},
    "informative rows": {"method": "rlsd", "sampling": "informative", "resample_rounds": 1, "num_generations": 2},
    "best step": {"method": "grpo", "keep": "best", "eval_interval": 1, "patience": 6},
    "without truncated": {"method": "rlsd", "mask_truncated": True, "max_completion_tokens": 60},
    "overlong": {"method": "grpo", "overlong_buffer": 8},
    "KL": {"method": "rlsd", "kl_beta": 0.1},
    "distributions": {"method": "grpo_opsd", "divergence": "jsd", "divergence_top_k": 50, "teacher": "snapshot"},
    "sc_grpo": {"method": "sc_grpo", "hint": "sibling"},
    "routed": {"method": "rlsd", "route_mixed": True, "lambda_decay_steps": 0},
    "practice": {"method": "rlsd", "practice": {"below": 0.5}, "kl_beta": 0.05},
    "placebo practice": {"method": "good_prefix", "hint": "solution", "practice": {"below": 0.5, "hint": "placebo"}},
    "reasoning": {"method": "rlsd", "reasoning_only": True, "reasoning_end": "a"},
    "sft": {"method": "sft", "max_completion_tokens": 12, "warm_start": {"target": "answer"}},
}
WARM = {"method": "rlsd", "max_completion_tokens": 12, "max_steps": 4}
WARM_CASES = {
    "in the warm start": WARM | {"warm_start": {"rows": 5, "target": "answer", "epochs": 2}},
    "at its end": WARM | {"warm_start": {"rows": 3, "target": "answer", "epochs": 3}},
    "after it": WARM | {"warm_start": {"rows": 4, "target": "answer", "epochs": 1}},
}
"""Warm starts of 4, 3 and 2 steps."""
ALL_CASES = CASES | WARM_CASES


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Every case's whole run, and the folder with the last checkpoint of its second half from another process."""
    folder, teacher = tmp_path_factory.mktemp("resume"), save_teacher(tmp_path_factory.mktemp("teacher"))
    whole = {}
    for name, case in ALL_CASES.items():
        changes = COMMON | case | ({"teacher_model": teacher} if case["method"] == "opd" else {})
        whole[name] = run_to_end(changes, resume=None)
        half = next(checkpoint for checkpoint in whole[name].checkpoints if checkpoint.step == HALF)
        (folder / f"{name}.half").write_bytes(half.data)
        (folder / f"{name}.json").write_text(json.dumps(changes))
    subprocess.run([sys.executable, "-m", "tests.worker.engine.resume_run", folder], check=True, cwd=ROOT)
    return whole, folder


@pytest.mark.parametrize("name", ALL_CASES)
def test_resuming_in_a_new_process_is_bit_identical(runs, name):
    whole, folder = runs
    expected, end = whole[name].checkpoints[-1].data, (folder / f"{name}.end").read_bytes()
    tensors, found = load(expected), load(end)
    assert tensors.keys() == found.keys()
    assert any(key.startswith("optimizer.exp_avg_sq") for key in tensors)
    assert any(key.startswith("snapshot.") for key in tensors)
    for key, tensor in tensors.items():
        assert torch.equal(found[key], tensor), key
    assert end == expected
    half = load((folder / f"{name}.half").read_bytes())
    assert not all(torch.equal(value, tensors[key]) for key, value in half.items()), (
        "the second half must change the weights"
    )


def test_the_cases_cover_every_method_with_its_teacher_in_both_halves(runs):
    whole, _ = runs
    assert {case["method"] for case in CASES.values()} == set(MethodName)
    for name in CASES:
        metrics = [report.metrics for report in whole[name].steps]
        taught = [step["teacher_tokens"] > 0 for step in metrics]
        assert (
            any(taught[:HALF])
            == any(taught[HALF:])
            == (method_named(CASES[name]["method"]).teacher is not TeacherKind.NONE)
        ), name
    for name in ("practice", "placebo practice"):
        practised = [
            report.metrics["practice_mixed"] > 0 for report in whole[name].steps if "practice_mixed" in report.metrics
        ]
        assert sum(practised[HALF:]) > 0, name
    resampled = [report.metrics["groups_resampled"] for report in whole["resampling"].steps]
    half = load(next(c.data for c in whole["rlsd"].checkpoints if c.step == HALF))
    moved = [key for key in half if key.startswith("adapter.") and "lora_B" in key]
    assert not any(torch.equal(half[key], half[key.replace("adapter.", "snapshot.", 1)]) for key in moved)
    assert sum(resampled[HALF:]) > 0, resampled


@pytest.mark.parametrize("name", ["grpo", "rlsd", "sdpo"])
def test_a_finished_run_extended_by_max_steps_equals_a_longer_run(runs, name):
    whole, _ = runs
    changes = COMMON | CASES[name]
    short = run_to_end(changes | {"max_steps": HALF}, resume=None)
    assert [report.step for report in short.steps] == [1, 2, 3]
    longer = run_to_end(changes, resume=short.checkpoints[-1].data)
    assert [report.step for report in longer.steps] == [4, 5, 6]
    assert longer.checkpoints[-1].data == whole[name].checkpoints[-1].data
