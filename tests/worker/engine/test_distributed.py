"""Two processes on the CPU are one run: the same numbers, an even share of the work, one end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import GraniteConfig, GraniteForCausalLM

from tests.worker.engine.tiny import Recorder, tiny_model, tiny_tasks, tiny_tokenizer, vowel_share
from tests.worker.engine.world_run import policy_of, scenario, settings_of
from worker.engine.distributed import ProcessGroup
from worker.engine.loop import run
from worker.engine.model.policy import build_policy
from worker.engine.model.sharding import shard

pytestmark = pytest.mark.training

ROOT = Path(__file__).parents[3]
SAME = {
    "grpo": {"method": "grpo", "resample_rounds": 2},
    "rlsd": {"method": "rlsd", "diagnostic_interval": 2},
    "rlcsd": {"method": "rlcsd", "hint": "sibling", "success_above": 0.3},
    "sharded": {"method": "rlsd", "resample_rounds": 1, "sharding": "sharded"},
    "sharded_recomputed": {"method": "grpo", "sharding": "sharded", "gradient_checkpointing": True},
    "sharded_distributions": {"method": "sdpo", "hint": "sibling", "divergence": "jsd", "sharding": "sharded"},
}
"""Runs that must not depend on how many processes they are."""
SEEING = {
    "images": {"method": "rlsd", "micro_batch_tokens": 400},
    "images_sharded": {"method": "rlsd", "micro_batch_tokens": 400, "sharding": "sharded"},
}
"""The same on questions with images."""
OWN = ("_s", "_bytes", "update_tokens", "teacher_tokens")
"""Ends of the names of what may differ: time, memory, and how contexts and padding add up."""


def processes(folder, scenarios):
    """Two processes that run these scenarios, one after the other, into the folder."""
    (folder / "scenarios.json").write_text(json.dumps(scenarios))
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.worker.engine.world_run", str(folder), str(rank), "2"],
            cwd=ROOT,
            stderr=(folder / f"errors.{rank}").open("w"),
        )
        for rank in (0, 1)
    ]


def seen(folder, name, *, rank=0):
    return torch.load(folder / f"{name}.{rank}", weights_only=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What one process sees, by scenario, and the folder of what two processes saw meanwhile, in one launch."""
    folder = tmp_path_factory.mktemp("world")
    alone = {"rlsd": scenario(ProcessGroup.alone(), settings=SAME["rlsd"])}
    half = folder / "half"
    half.write_bytes(alone["rlsd"]["checkpoints"][2])
    scenarios = {name: {"settings": settings} for name, settings in SAME.items()}
    scenarios |= {name: {"settings": settings, "images": True} for name, settings in SEEING.items()}
    scenarios["paused"] = {"settings": SAME["rlsd"], "stop_after": 2}
    scenarios["resumed"] = {"settings": SAME["rlsd"], "resume": str(half)}
    scenarios["broken"] = {"settings": SAME["grpo"], "fault": 1}  # the last, for it ends both processes
    started = processes(folder, scenarios)
    alone |= {
        name: scenario(ProcessGroup.alone(), settings=settings) for name, settings in SAME.items() if name != "rlsd"
    }
    alone["images"] = scenario(ProcessGroup.alone(), settings=SEEING["images"], images=True)
    assert [process.wait(280) for process in started] == [1, 1]
    assert [(folder / f"resumed.{rank}").exists() for rank in (0, 1)] == [True, True], (folder / "errors.1").read_text()
    return alone, folder


@pytest.fixture(scope="module")
def alone(runs):
    return runs[0]


@pytest.fixture(scope="module")
def together(runs):
    return runs[1]


def assert_same_adapter(first, second):
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=1e-6, rtol=0)


def assert_same_metrics(first, second):
    for one, two in zip(first, second, strict=True):
        kept = {name: value for name, value in one.items() if not name.endswith(OWN)}
        assert {name: two.get(name) for name in kept} == pytest.approx(kept, rel=1e-6, abs=1e-9)
        assert one.keys() == two.keys()


@pytest.mark.parametrize("name", SAME)
def test_two_processes_give_the_losses_metrics_rollouts_and_adapter_of_one(name, alone, together):
    one, two = alone[name], seen(together, name)
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
    moved = policy_of(settings_of(SAME[name])).adapter("default")
    assert max((two["adapter"][key] - value).abs().max().item() for key, value in moved.items()) > 1e-2


@pytest.mark.parametrize("name", SEEING)
def test_two_processes_see_images_as_one_does(name, alone, together):
    one = alone["images"]
    for rank in (0, 1):
        assert_same_adapter(seen(together, name, rank=rank)["adapter"], one["adapter"])
    assert_same_metrics(one["metrics"], seen(together, name)["metrics"])


@pytest.mark.parametrize("name", SAME)
def test_both_processes_hold_the_same_adapter_to_the_last_bit_and_one_reports(name, together):
    leader, other = seen(together, name), seen(together, name, rank=1)
    for key, value in leader["adapter"].items():
        assert torch.equal(other["adapter"][key], value)
    assert other["steps"] == other["evaluations"] == []
    assert not other["checkpoints"]
    assert other["ending"] == leader["ending"] == "done"


@pytest.mark.parametrize("name", SAME)
def test_the_prompts_are_shared_out_evenly_and_in_order(name, alone, together):
    whole, shares = alone[name]["scored"], [seen(together, name, rank=rank)["scored"] for rank in (0, 1)]
    baseline, first_batch = ([calls[turn] for calls in shares] for turn in (0, 1))
    assert [len(rows) for rows in baseline] == [6, 4]
    assert [len(rows) for rows in first_batch] == [8, 8]
    assert baseline[0] + baseline[1] == whole[0]
    assert first_batch[0] + first_batch[1] == whole[1]
    everything = [row for calls in shares for rows in calls for row in rows]
    assert sorted(everything) == sorted(row for rows in whole for row in rows), "each once"


def test_a_sharded_model_lies_in_slices_and_its_adapters_whole(alone, together):
    weights = policy_of(settings_of({})).model.named_parameters()
    layers = sum(value.numel() for name, value in weights if ".layers." in name and ".lora_" not in name)
    held = [seen(together, "sharded", rank=rank)["held"] for rank in (0, 1)]
    assert sum(held) == 2 * alone["sharded"]["held"] - layers
    assert seen(together, "rlsd")["held"] == alone["rlsd"]["held"]


def test_the_processes_stop_together_when_the_leader_is_asked_to(together):
    leader, other = seen(together, "paused"), seen(together, "paused", rank=1)
    assert (leader["ending"], other["ending"]) == ("paused", "paused")
    assert leader["steps"] == [1, 2]
    assert max(leader["checkpoints"]) == 2


def test_a_run_of_one_process_goes_on_with_two_and_the_other_way_round(alone, together):
    resumed = seen(together, "resumed")
    assert resumed["steps"] == [3]
    assert_same_metrics(alone["rlsd"]["metrics"][2:], resumed["metrics"])
    assert_same_adapter(alone["rlsd"]["adapter"], resumed["adapter"])

    again = scenario(ProcessGroup.alone(), settings=SAME["rlsd"], resume=seen(together, "paused")["checkpoints"][2])
    assert again["steps"] == [3]
    assert_same_adapter(alone["rlsd"]["adapter"], again["adapter"])


def test_a_fault_in_one_process_ends_both(together):
    assert "ZeroDivisionError: the third call" in (together / "errors.1").read_text()
    assert "ProcessLost" in (together / "errors.0").read_text()
    assert not [*together.glob("broken.*")]


def test_a_model_that_scales_its_logits_is_not_sliced():
    settings, shape = settings_of({"sharding": "sharded"}), tiny_model().config.to_dict()
    scaled = GraniteForCausalLM(GraniteConfig(**(shape | {"model_type": "granite", "logits_scaling": 3.0})))
    policy = build_policy(scaled, tokenizer=tiny_tokenizer(), settings=settings)
    with pytest.raises(ValueError, match=r"GraniteForCausalLM, which caps or scales its logits"):
        shard(policy, device=torch.device("cpu"), world=ProcessGroup(0, 2))


def test_a_batch_that_cannot_be_shared_out_evenly_is_refused_naming_both_numbers():
    settings = settings_of({"batch_size": 3})
    with pytest.raises(ValueError, match=r"batch_size 3 .* devices 2"):
        run(
            settings,
            policy=policy_of(settings),
            tasks=tiny_tasks(4),
            held_out=[],
            reward=vowel_share,
            observer=Recorder(),
            resume=None,
            world=ProcessGroup(0, 2),
        )


@pytest.mark.parametrize(("count", "size"), [(8, 2), (7, 3), (1, 4), (0, 2)])
def test_shares_cover_everything_once_and_differ_by_one_at_most(count, size):
    shares = [list(range(count))[ProcessGroup(rank, size).share(count)] for rank in range(size)]
    assert [thing for share in shares for thing in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
