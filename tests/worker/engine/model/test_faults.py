"""Faults: each broken model or exhausted machine gives one sentence with what to change."""

import json
import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration

from tests.worker.engine.tiny import (
    Recorder,
    Verdict,
    sample_rollouts,
    save_tiny_model,
    tiny_model,
    tiny_policy,
    tiny_prompts,
    tiny_settings,
    tiny_tasks,
    tiny_tokenizer,
    vowel_share,
)
from worker.engine import loop
from worker.engine.experiment import Experiment
from worker.engine.faults import Fault, FaultCode, memory_errors_as_faults
from worker.engine.measure import Stopwatch
from worker.engine.model.policy_loading import build_policy, load_external_teacher, load_policy
from worker.engine.types import Ending

CODE_MARK = "code_that_came_with_the_model_has_run"
CONFIGURATION = "from transformers import LlamaConfig\n\nclass Own(LlamaConfig):\n    model_type = 'homemade'\n"
MODELING = (
    "import pathlib\nfrom transformers import LlamaForCausalLM\nfrom .configuration_own import Own\n\n"
    "pathlib.Path({mark!r}).touch()\n\nclass OwnModel(LlamaForCausalLM):\n    config_class = Own\n"
)


def without_weights(folder):
    (folder / "model.safetensors").unlink()


def as_a_pickle(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    without_weights(folder)


def with_a_pickle_named_in_its_config(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "weights.bin")
    changed_json(folder / "config.json", transformers_weights="weights.bin")


def lacking_a_tensor(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def cut_short(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:3000])


def of_another_shape(folder):
    changed_json(folder / "config.json", vocab_size=300)


def with_code_of_its_own(folder):
    auto_map = {"AutoConfig": "configuration_own.Own", "AutoModelForCausalLM": "modeling_own.OwnModel"}
    changed_json(folder / "config.json", model_type="homemade", architectures=["OwnModel"], auto_map=auto_map)
    (folder / "configuration_own.py").write_text(CONFIGURATION)
    (folder / "modeling_own.py").write_text(MODELING.format(mark=str(folder / CODE_MARK)))


def with_a_tokenizer_of_its_own(folder):
    changed_json(
        folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Tokenizer", None]}, tokenizer_class="Own"
    )
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(folder / CODE_MARK)!r}).touch()\n")


def of_an_unknown_architecture(folder):
    changed_json(folder / "config.json", model_type="homemade")


def that_only_translates(folder):
    config = T5Config(vocab_size=261, d_model=16, d_ff=16, num_layers=1, num_heads=2, d_kv=8)
    T5ForConditionalGeneration(config).save_pretrained(folder)


def without_a_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def without_a_chat_template(folder):
    tiny_tokenizer(chat_template=None).save_pretrained(folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)


def that_is_an_adapter(folder):
    config = {"base_model_name_or_path": "someone/base", "peft_type": "LORA", "r": 2, "task_type": "CAUSAL_LM"}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def changed_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


BROKEN = [
    (without_weights, FaultCode.MISSING_WEIGHTS, r"no weights \(model\.safetensors\)"),
    (lacking_a_tensor, FaultCode.MISSING_WEIGHTS, r"weights are missing: model\.layers\.1\.mlp\.up_proj\.weight"),
    (as_a_pickle, FaultCode.UNSAFE_WEIGHTS, r"only available as a pickle \(pytorch_model\.bin\).*safetensors.*\.gguf"),
    (with_a_pickle_named_in_its_config, FaultCode.UNSAFE_WEIGHTS, r"names the weights file weights\.bin"),
    (cut_short, FaultCode.MODEL_NOT_LOADED, "damaged or truncated"),
    (of_another_shape, FaultCode.MODEL_NOT_LOADED, "shapes of its weights do not match its config"),
    (with_code_of_its_own, FaultCode.REMOTE_CODE, "needs custom code.*RLSD_ALLOW_REMOTE_CODE=1"),
    (with_a_tokenizer_of_its_own, FaultCode.REMOTE_CODE, "needs custom code.*RLSD_ALLOW_REMOTE_CODE=1"),
    (of_an_unknown_architecture, FaultCode.MODEL_NOT_LOADED, "architecture is not supported"),
    (that_only_translates, FaultCode.MODEL_NOT_LOADED, "not a causal language model"),
    (without_a_tokenizer, FaultCode.MODEL_NOT_LOADED, "no tokenizer files"),
    (without_a_chat_template, FaultCode.NO_CHAT_TEMPLATE, "no chat template.*instruction-tuned"),
    (that_is_an_adapter, FaultCode.MODEL_NOT_LOADED, "contains an adapter: enter the base model"),
]


@pytest.mark.parametrize(("broken", "code", "sentence"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
def test_a_model(tmp_path, broken, code, sentence):
    model = save_tiny_model(tmp_path)
    broken(tmp_path)
    with pytest.raises(Fault, match=sentence) as refusal:
        load_policy(model, settings=tiny_settings())
    assert (refusal.value.code, refusal.value.param) == (code, "model")
    assert not (tmp_path / CODE_MARK).exists()


def test_code_from_a_models_repository_runs_only_where_it_is_allowed(tmp_path):
    model = save_tiny_model(tmp_path)
    with_code_of_its_own(tmp_path)
    policy = load_policy(model, settings=tiny_settings(), allow_remote_code=True)
    assert (tmp_path / CODE_MARK).exists()
    assert policy.allows_remote_code
    assert type(policy.model.get_base_model()).__name__ == "OwnModel"


def test_a_pickle_next_to_safetensors_is_ignored(tmp_path):
    model = save_tiny_model(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"not even a pickle")
    assert load_policy(model, settings=tiny_settings()).allows_remote_code is False


@pytest.mark.parametrize(
    ("model", "code", "sentence"),
    [
        ("no-one/has-this-model", FaultCode.HUB_UNREACHABLE, "could not be reached.*RLSD_MODELS"),
        ("/no/such/folder", FaultCode.MODEL_NOT_FOUND, "no folder or hub model has this name"),
    ],
)
def test_a_model_that_is_neither_local_nor_on_the_hub(monkeypatch, model, code, sentence):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Fault, match=sentence) as refusal:
        load_policy(model, settings=tiny_settings())
    assert refusal.value.code is code


def test_a_broken_teacher_is_named_as_the_teacher(tmp_path):
    settings = tiny_settings(method="opd", teacher_model=save_tiny_model(tmp_path))
    as_a_pickle(tmp_path)
    with pytest.raises(
        Fault, match=r"the teacher_model could not be loaded: its weights are only available"
    ) as refusal:
        load_external_teacher(settings, student=tiny_policy(settings))
    assert refusal.value.param == "teacher_model"


def test_without_a_pad_token_the_end_of_sequence_token_is_used_for_padding_and_masked():
    settings = tiny_settings()
    policies = [
        build_policy(tiny_model(), tokenizer=tiny_tokenizer(pad=pad), settings=settings) for pad in ("<|pad|>", None)
    ]
    padded, bare = (
        sample_rollouts(
            policy,
            tiny_prompts(policy, 3),
            num_generations=8,
            max_completion_tokens=24,
            temperature=1.0,
            generator=torch.Generator().manual_seed(5),
        )
        for policy in policies
    )
    assert policies[1].pad_id in policies[1].eos_ids
    assert not bare.mask_BT.all()
    assert torch.equal(padded.mask_BT, bare.mask_BT)
    assert torch.equal(padded.sampling_logps_BT, bare.sampling_logps_BT)


def test_padding_with_the_end_of_sequence_token_is_an_event():
    settings, observer, silent = tiny_settings(max_steps=1), Recorder(), Recorder()
    run(
        settings,
        policy=build_policy(tiny_model(), tokenizer=tiny_tokenizer(pad=None), settings=settings),
        observer=observer,
    )
    [(level, code, message)] = observer.events
    assert (level, code) == ("info", "no_pad_token")
    assert "end-of-sequence token 0 is used for padding" in message
    run(settings, observer=silent)
    assert not silent.events


def run(settings, *, policy=None, reward=vowel_share, held_out=0, observer=None):
    return loop.run(
        Experiment(
            settings=settings,
            policy=policy or tiny_policy(settings),
            tasks=tiny_tasks(6),
            held_out=tiny_tasks(held_out, first_row=100),
            reward=reward,
        ),
        observer=observer or Recorder(),
        resume=None,
    )


@pytest.mark.parametrize(
    ("changes", "code", "param", "sentence"),
    [
        (
            {"max_prompt_tokens": 20},
            FaultCode.PROMPT_TOO_LONG,
            "max_prompt_tokens",
            r"row \d+: .* more than max_prompt",
        ),
        (
            {"max_prompt_tokens": 512, "max_completion_tokens": 500},
            FaultCode.PROMPT_TOO_LONG,
            "max_completion_tokens",
            r"row \d+: .* leaves 12 for it",
        ),
        (
            {"max_completion_tokens": 512},
            FaultCode.CONTEXT_TOO_SHORT,
            "max_completion_tokens",
            "context length is 512 tokens",
        ),
    ],
)
def test_lengths_beyond_the_limits_are_refused_before_any_computation(changes, code, param, sentence):
    observer = Recorder()
    with pytest.raises(Fault, match=sentence) as refusal:
        run(tiny_settings(**changes), observer=observer)
    assert (refusal.value.code, refusal.value.param) == (code, param)
    assert not observer.checkpoints


PHASES = [
    ("loading", "dtype"),
    ("rollout", "rollout_sequences"),
    ("evaluation", "rollout_sequences"),
    ("reward", "batch_size"),
    ("teacher", "micro_batch_tokens"),
    ("update", "micro_batch_tokens"),
    ("report", "diagnostic_interval"),
]


@pytest.mark.parametrize(("phase", "param"), PHASES)
def test_out_of_memory_names_the_phase_and_a_setting_that_helps(phase, param):
    with pytest.raises(Fault) as refusal, memory_errors_as_faults(phase):
        torch.empty(2**60)
    assert (refusal.value.code, refusal.value.param) == (FaultCode.OUT_OF_MEMORY, param)
    assert param in refusal.value.message
    assert "you tried to allocate" in refusal.value.message


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB.")])
def test_out_of_memory_in_a_phase_of_a_step_is_a_fault(error):
    with (
        pytest.raises(Fault, match="out of memory while updating the adapter"),
        Stopwatch(torch.device("cpu")).phase("update"),
    ):
        raise error


def test_other_errors_pass_unchanged():
    with pytest.raises(RuntimeError, match="shape mismatch"), memory_errors_as_faults("update"):
        raise RuntimeError("shape mismatch")


def test_out_of_memory_in_a_run_names_its_phase():
    def greedy(completions):
        torch.empty(2**60)

    with pytest.raises(Fault, match="while scoring completions"):
        run(tiny_settings(), reward=greedy)
    with pytest.raises(Fault, match="while evaluating held-out questions"):
        run(tiny_settings(), reward=greedy, held_out=3)


def test_nan_logits_end_the_run_before_any_update():
    policy = tiny_policy()
    with torch.no_grad():
        policy.model.get_base_model().model.norm.weight.fill_(math.nan)
    with pytest.raises(Fault, match="token probabilities are NaN or infinite") as refusal:
        run(tiny_settings(), policy=policy)
    assert (refusal.value.code, refusal.value.param) == (FaultCode.NOT_FINITE, "dtype")


def broken_after(policy, *, tokens, number=math.nan):
    """Make the policy's model return `number` as the first sequence's logits once `tokens` tokens have been sampled."""
    sampled = []

    def breaks(module, inputs, kwargs, output):
        sampled.append(1) if kwargs["input_ids"].shape[1] == 1 else sampled.clear()
        if len(sampled) >= tokens:
            output.logits[0] = number
        return output

    policy.model.get_base_model().register_forward_hook(breaks, with_kwargs=True)
    return policy


@pytest.mark.parametrize(("length", "number"), [(8, math.nan), (8, math.inf), (3, math.nan)])
def test_nan_or_infinite_logits_later_in_a_completion_are_the_same_fault(length, number):
    """With a length of 3, only the last token is sampled from invalid logits."""
    with pytest.raises(Fault, match="download the model again") as refusal:
        run(tiny_settings(max_completion_tokens=length), policy=broken_after(tiny_policy(), tokens=2, number=number))
    assert (refusal.value.code, refusal.value.param) == (FaultCode.NOT_FINITE, "dtype")


def test_after_the_first_step_the_fault_names_the_learning_rate_instead_of_damaged_weights():
    policy = tiny_policy()

    class Breaks(Recorder):
        def step(self, report):
            super().step(report)
            broken_after(policy, tokens=2)

    observer = Breaks()
    with pytest.raises(Fault, match="became NaN or infinite during training: lower learning_rate") as refusal:
        run(tiny_settings(), policy=policy, observer=observer)
    assert (refusal.value.code, refusal.value.param) == (FaultCode.NOT_FINITE, "learning_rate")
    assert len(observer.steps) == 1


@pytest.mark.parametrize("targets", ["all-linear", ("embed_tokens",)])
def test_is_trained_is_true_after_the_first_step(targets):
    settings = tiny_settings(max_steps=1, lora_target_modules=targets)
    policy = tiny_policy(settings)
    assert not policy.is_trained
    run(settings, policy=policy)
    assert policy.is_trained


def test_a_learning_rate_far_too_high_ends_in_a_fault():
    with pytest.raises(Fault, match="finite") as refusal:
        settings = tiny_settings(max_steps=50, weight_decay=0.0, diagnostic_interval=0)
        run(settings.model_copy(update={"learning_rate": 1e37}))
    assert refusal.value.code is FaultCode.NOT_FINITE


def test_empty_completions_are_reported_once():
    settings, observer = tiny_settings(max_steps=3), Recorder()
    ends_at_once = replace(tiny_policy(settings), eos_ids=tuple(range(261)))
    assert run(settings, policy=ends_at_once, observer=observer) is Ending.DONE
    assert [report.metrics["empty"] for report in observer.steps] == [1, 1, 1]
    [(level, code, message)] = observer.events
    assert (level, code) == ("warn", "empty_completions")
    assert "step 1 " in message
    talkative = Recorder()
    run(settings, observer=talkative)
    assert not talkative.events


def dead(completions):
    return [Verdict(0.0) for _ in completions]


def test_a_run_without_signal_stops_with_the_reason_and_gets_as_many_steps_when_resumed():
    settings, observer = tiny_settings(max_steps=20, max_dead_steps=3), Recorder()
    assert run(settings, reward=dead, observer=observer) is Ending.NO_SIGNAL
    assert len(observer.steps) == 3
    [(level, code, message)] = observer.events
    assert (level, code) == ("error", "no_signal")
    assert "0% of the questions all right, 100% all wrong" in message
    resumed = Recorder()
    ending = loop.run(
        Experiment(settings=settings, policy=tiny_policy(settings), tasks=tiny_tasks(6), held_out=[], reward=dead),
        observer=resumed,
        resume=observer.checkpoints[-1].data,
    )
    assert ending is Ending.NO_SIGNAL
    assert [report.step for report in resumed.steps] == [4, 5, 6]


def test_a_run_that_reaches_max_dead_steps_at_its_last_step_is_done():
    observer = Recorder()
    assert run(tiny_settings(max_steps=3, max_dead_steps=3), reward=dead, observer=observer) is Ending.DONE


def test_an_occasional_signal_keeps_a_run_going():
    calls = []

    def rarely(completions):
        calls.append(1)
        return vowel_share(completions) if len(calls) % 3 == 0 else dead(completions)

    observer = Recorder()
    assert run(tiny_settings(max_steps=9, max_dead_steps=3), reward=rarely, observer=observer) is Ending.DONE
