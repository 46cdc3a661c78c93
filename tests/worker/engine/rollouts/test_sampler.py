"""Samplers: the model itself, or vLLM if it is installed."""

from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from backend.core.settings.update import Lora
from tests.worker.engine.tiny import Recorder, tiny_policy, tiny_settings, tiny_tasks, vowel_share
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.rollouts.sampling import make_sampler
from worker.engine.rollouts.transformers_sampler import TransformersSampler
from worker.engine.rollouts.vllm_sampler import AdapterFiles, as_tensors, largest_rank, require_supported
from worker.engine.training.optimizer import make_optimizer


def test_the_model_itself_samples_by_default():
    policy = tiny_policy()
    assert isinstance(make_sampler(policy, settings=tiny_settings()), TransformersSampler)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_a_run_that_needs_it_fails_with_advice_before_anything_is_computed():
    settings, recorder = tiny_settings(generator="vllm"), Recorder()
    policy = tiny_policy(settings)
    with pytest.raises(
        ValueError, match=r"generator is vllm, but vLLM is not installed: run pip install 'rlsd-workbench"
    ):
        run(
            Experiment(settings=settings, policy=policy, tasks=tiny_tasks(4), held_out=[], reward=vowel_share),
            observer=recorder,
            resume=None,
        )
    assert not recorder.steps


def output(ids, logps):
    return SimpleNamespace(
        token_ids=ids,
        logprobs=[{token: SimpleNamespace(logprob=logp)} for token, logp in zip(ids, logps, strict=True)],
    )


def test_vllms_outputs_become_tokens_and_the_log_probabilities_they_were_sampled_at():
    policy = tiny_policy()
    end = policy.eos_ids[0]
    ids, logps = as_tensors(
        [output((7, 8, end), (-1.0, -0.5, -0.25)), output([9], [-2.0])], policy=policy, shape=(2, 6)
    )
    assert ids.tolist() == [[7, 8, end], [9, end, end]]
    torch.testing.assert_close(logps, torch.tensor([[-1.0, -0.5, -0.25], [-2.0, 0.0, 0.0]]))
    silent = SimpleNamespace(token_ids=[7], logprobs=None)
    with pytest.raises(ValueError, match="1 tokens without a log-probability"):
        as_tensors([silent], policy=policy, shape=(1, 6))


def test_the_adapter_is_written_again_after_an_optimizer_step_and_only_then():
    policy = tiny_policy()
    files, optimizer = AdapterFiles(policy, base_model="tiny"), make_optimizer(policy, settings=tiny_settings())
    version, folder = files.current()
    assert files.current() == (version, folder)
    for parameter in policy.adapter(LIVE_ADAPTER).values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    newer, newer_folder = files.current()
    assert newer > version
    assert not folder.exists()
    for name, values in load_file(newer_folder / "adapter_model.safetensors").items():
        assert torch.equal(values, policy.adapter(LIVE_ADAPTER)[name])


def test_what_vllm_does_not_support_is_refused(tmp_path):
    require_supported(tiny_policy())
    embedded = tiny_policy(tiny_settings(lora_target_modules=("q_proj", "embed_tokens")))
    with pytest.raises(
        ValueError, match=r"generator is vllm, which is not supported for lora.target_modules that include em"
    ):
        require_supported(embedded)
    (tmp_path / "model.gguf").touch()
    quantised = tiny_policy()
    quantised.model.get_base_model().name_or_path = str(tmp_path)
    with pytest.raises(ValueError, match=r"not supported for a base model in \.gguf format: set it to transformers"):
        require_supported(quantised)
    (tmp_path / "model.safetensors").touch()
    require_supported(quantised)
    with pytest.raises(ValueError, match="not supported for models that read images"):
        require_supported(replace(tiny_policy(), vision=object()))


@pytest.mark.parametrize(
    ("lora_r", "expected"), [(1, 1), (2, 8), (8, 8), (9, 16), (65, 128), (257, 320), (321, 512), (512, 512)]
)
def test_vllm_is_set_up_for_the_smallest_rank_that_takes_the_adapter(lora_r, expected):
    assert largest_rank(lora_r) == expected


def test_vllm_takes_the_largest_rank_that_a_job_allows_and_refuses_larger_ones():
    allowed = Lora.model_json_schema()["properties"]["r"]["maximum"]
    assert largest_rank(allowed) >= allowed
    with pytest.raises(ValueError, match="up to rank 512, got 513"):
        largest_rank(513)
