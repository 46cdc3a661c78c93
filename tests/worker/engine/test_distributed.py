"""Runs of two processes on the CPU: the same results as one process, evenly divided work, a common end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import GraniteConfig, GraniteForCausalLM

from tests.worker.engine.tiny import Recorder, tiny_model, tiny_tasks, tiny_tokenizer, vowel_share
from tests.worker.engine.world_run import make_policy, make_settings, run_scenario
from worker.engine.distributed import ProcessGroup
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.model.policy_loading import build_policy
from worker.engine.model.sharding import shard

pytestmark = pytest.mark.training

ROOT = Path(__file__).parents[3]
CASES = {
    "grpo": {"method": "grpo", "resample_rounds": 2},
    "rlsd": {"method": "rlsd", "diagnostic_interval": 2},
    "components": {"method": "grpo", "combine": "normalise", "resample_rounds": 1},
    "informative": {"method": "grpo", "sampling": "informative", "success_above": 0.3},
    "best": {"method": "grpo", "keep": "best", "eval_interval": 1},
    "rlcsd": {"method": "rlcsd", "hint": "sibling", "success_above": 0.3},
    "sc_grpo": {"method": "sc_grpo", "hint": "sibling", "success_above": 0.3},
    "good_prefix": {"method": "good_prefix", "success_above": 0.3},
    "practice": {
        "method": "rlsd",
        "success_above": 0.4,
        "practice": {"below": 0.5},
        "resample_rounds": 1,
        "diagnostic_interval": 2,
    },
    "sharded": {"method": "rlsd", "resample_rounds": 1, "sharding": "sharded"},
    "sharded_recomputed": {"method": "grpo", "sharding": "sharded", "gradient_checkpointing": True},
    "sharded_distributions": {"method": "sdpo", "hint": "sibling", "divergence": "jsd", "sharding": "sharded"},
}
"""Runs that must not depend on the number of processes."""
IMAGE_CASES = {
    "images": {"method": "rlsd", "micro_batch_tokens": 400},
    "images_sharded": {"method": "rlsd", "micro_batch_tokens": 400, "sharding": "sharded"},
}
"""Such runs on questions with images."""
IMITATION = {
    "method": "sft",
    "max_steps": 2,
    "sharding": "sharded",
    "warm_start": {"rows": 5, "epochs": 1, "target": "answer"},
}
"""A warm start whose second step has one row for two processes, and then imitation alone."""
MAY_DIFFER = ("_s", "_bytes", "update_tokens", "teacher_tokens")
"""Suffixes of metrics that may differ: time, memory, and tokens of contexts and padding."""


def start_processes(folder, scenarios):
    """Start two processes that run these scenarios one after the other and write results to the folder."""
    (folder / "scenarios.json").write_text(json.dumps(scenarios))
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.worker.engine.world_run", str(folder), str(rank), "2"],
            cwd=ROOT,
            stderr=(folder / f"errors.{rank}").open("w"),
        )
        for rank in (0, 1)
    ]


def load_result(folder, name, *, rank=0):
    return torch.load(folder / f"{name}.{rank}", weights_only=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Results of one process by scenario, and the folder with the results of two, from one launch."""
    folder = tmp_path_factory.mktemp("world")
    single = {"rlsd": run_scenario(ProcessGroup.single(), settings=CASES["rlsd"])}
    half = folder / "half"
    half.write_bytes(single["rlsd"]["checkpoints"][2])
    scenarios = {name: {"settings": settings} for name, settings in CASES.items()}
    scenarios |= {name: {"settings": settings, "images": True} for name, settings in IMAGE_CASES.items()}
    scenarios["imitation"] = {"settings": IMITATION}
    scenarios["paused"] = {"settings": CASES["rlsd"], "stop_after": 2}
    scenarios["resumed"] = {"settings": CASES["rlsd"], "resume": str(half)}
    scenarios["broken"] = {"settings": CASES["grpo"], "fault": 1}  # last, because it ends both processes
    started = start_processes(folder, scenarios)
    single |= {
        name: run_scenario(ProcessGroup.single(), settings=settings)
        for name, settings in CASES.items()
        if name != "rlsd"
    }
    single["images"] = run_scenario(ProcessGroup.single(), settings=IMAGE_CASES["images"], images=True)
    single["imitation"] = run_scenario(ProcessGroup.single(), settings=IMITATION)
    assert [process.wait(280) for process in started] == [1, 1]
    assert [(folder / f"resumed.{rank}").exists() for rank in (0, 1)] == [True, True], (folder / "errors.1").read_text()
    return single, folder


@pytest.fixture(scope="module")
def single(runs):
    return runs[0]


@pytest.fixture(scope="module")
def double(runs):
    return runs[1]


def assert_same_adapter(first, second):
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=1e-6, rtol=0)


def assert_same_metrics(first, second):
    for one, two in zip(first, second, strict=True):
        kept = {name: value for name, value in one.items() if not name.endswith(MAY_DIFFER)}
        assert {name: two.get(name) for name in kept} == pytest.approx(kept, rel=1e-6, abs=1e-9)
        assert one.keys() == two.keys()


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_the_same_losses_metrics_rollouts_and_adapter_as_one(name, single, double):
    one, two = single[name], load_result(double, name)
    assert two["steps"] == [1, 2, 3]
    assert any(metrics["gradient_norm"] > 0 for metrics in one["metrics"])
    assert_same_metrics(one["metrics"], two["metrics"])
    assert [(r.row, r.sample, r.completion, r.truncated, r.record) for r in two["rollouts"]] == [
        (r.row, r.sample, r.completion, r.truncated, r.record) for r in one["rollouts"]
    ]
    for first, second in zip(one["rollouts"], two["rollouts"], strict=True):
        assert second.advantage == pytest.approx(first.advantage)
        assert second.tokens.ids == first.tokens.ids
        for field in ("logp_student", "logp_teacher", "logp_contrast", "delta", "weight", "advantage"):
            expected, found = getattr(first.tokens, field), getattr(second.tokens, field)
            assert found == (None if expected is None else pytest.approx(expected, rel=1e-6, abs=1e-6))
    assert two["evaluations"] == one["evaluations"]
    assert_same_adapter(one["adapter"], two["adapter"])
    moved = make_policy(make_settings(CASES[name])).adapter("default")
    assert max((two["adapter"][key] - value).abs().max().item() for key, value in moved.items()) > 5e-3


@pytest.mark.parametrize("name", IMAGE_CASES)
def test_two_processes_process_images_like_one(name, single, double):
    one = single["images"]
    for rank in (0, 1):
        assert_same_adapter(load_result(double, name, rank=rank)["adapter"], one["adapter"])
    assert_same_metrics(one["metrics"], load_result(double, name)["metrics"])


def test_two_processes_imitate_like_one(single, double):
    one, two = single["imitation"], load_result(double, "imitation")
    assert two["steps"] == [1, 2, 3, 4]
    assert_same_metrics(one["metrics"], two["metrics"])
    assert_same_adapter(one["adapter"], two["adapter"])
    assert two["evaluations"] == one["evaluations"]


@pytest.mark.parametrize("name", CASES)
def test_both_processes_have_bit_identical_adapters_and_only_the_leader_reports(name, double):
    leader, other = load_result(double, name), load_result(double, name, rank=1)
    for key, value in leader["adapter"].items():
        assert torch.equal(other["adapter"][key], value)
    assert other["steps"] == other["evaluations"] == []
    assert not other["checkpoints"]
    assert other["ending"] == leader["ending"] == "done"


@pytest.mark.parametrize("name", CASES)
def test_the_prompts_are_divided_evenly_and_in_order(name, single, double):
    whole, shares = single[name]["scored"], [load_result(double, name, rank=rank)["scored"] for rank in (0, 1)]
    baseline, first_batch = ([calls[turn] for calls in shares] for turn in (0, 1))
    assert [len(rows) for rows in baseline] == [6, 4]
    assert [len(rows) for rows in first_batch] == [8, 8]
    assert baseline[0] + baseline[1] == whole[0]
    assert first_batch[0] + first_batch[1] == whole[1]
    everything = [row for calls in shares for rows in calls for row in rows]
    assert sorted(everything) == sorted(row for rows in whole for row in rows), "each once"


def test_a_sharded_model_is_sharded_and_its_adapters_are_replicated(single, double):
    weights = make_policy(make_settings({})).model.named_parameters()
    layers = sum(value.numel() for name, value in weights if ".layers." in name and ".lora_" not in name)
    counts = [load_result(double, "sharded", rank=rank)["num_parameters"] for rank in (0, 1)]
    assert sum(counts) == 2 * single["sharded"]["num_parameters"] - layers
    assert load_result(double, "rlsd")["num_parameters"] == single["rlsd"]["num_parameters"]


def test_all_processes_stop_when_the_leader_receives_a_pause(double):
    leader, other = load_result(double, "paused"), load_result(double, "paused", rank=1)
    assert (leader["ending"], other["ending"]) == ("paused", "paused")
    assert leader["steps"] == [1, 2]
    assert max(leader["checkpoints"]) == 2


def test_a_run_of_one_process_resumes_with_two_and_vice_versa(single, double):
    resumed = load_result(double, "resumed")
    assert resumed["steps"] == [3]
    assert_same_metrics(single["rlsd"]["metrics"][2:], resumed["metrics"])
    assert_same_adapter(single["rlsd"]["adapter"], resumed["adapter"])

    again = run_scenario(
        ProcessGroup.single(), settings=CASES["rlsd"], resume=load_result(double, "paused")["checkpoints"][2]
    )
    assert again["steps"] == [3]
    assert_same_adapter(single["rlsd"]["adapter"], again["adapter"])


def test_a_fault_in_one_process_ends_both(double):
    assert "ZeroDivisionError: the third call" in (double / "errors.1").read_text()
    assert "ProcessLost" in (double / "errors.0").read_text()
    assert not [*double.glob("broken.*")]


def test_a_model_that_scales_its_logits_cannot_be_sharded():
    settings, shape = make_settings({"sharding": "sharded"}), tiny_model().config.to_dict()
    scaled = GraniteForCausalLM(GraniteConfig(**(shape | {"model_type": "granite", "logits_scaling": 3.0})))
    policy = build_policy(scaled, tokenizer=tiny_tokenizer(), settings=settings)
    with pytest.raises(ValueError, match=r"GraniteForCausalLM, which caps or scales its logits"):
        shard(policy, device=torch.device("cpu"), world=ProcessGroup(0, 2))


def test_a_batch_that_cannot_be_divided_evenly_is_refused_naming_both_numbers():
    settings = make_settings({"batch_size": 3})
    with pytest.raises(ValueError, match=r"batch_size 3 .* 2 devices"):
        run(
            Experiment(
                settings=settings,
                policy=make_policy(settings),
                tasks=tiny_tasks(4),
                held_out=[],
                reward=vowel_share,
                world=ProcessGroup(0, 2),
            ),
            observer=Recorder(),
            resume=None,
        )


@pytest.mark.parametrize(("count", "size"), [(8, 2), (7, 3), (1, 4), (0, 2)])
def test_shares_cover_all_items_once_and_differ_by_one_at_most(count, size):
    shares = [list(range(count))[ProcessGroup(rank, size).share(count)] for rank in range(size)]
    assert [thing for share in shares for thing in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
