"""The model with its two adapters: loading, snapshot, export."""

import json
import warnings

import gguf
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from backend.core.settings.choices import TeacherWeights
from tests.worker.engine.tiny import (
    save_tiny_model,
    tiny_model,
    tiny_policy,
    tiny_settings,
    tiny_tokenizer,
)
from worker.engine.faults import Fault, FaultCode
from worker.engine.model.adapter_files import export_adapter
from worker.engine.model.policy import LIVE_ADAPTER, SNAPSHOT_ADAPTER
from worker.engine.model.policy_loading import build_policy, load_policy
from worker.engine.training.optimizer import make_optimizer

TARGETS = ["all-linear", ("q_proj", "embed_tokens")]
IDS = torch.tensor([[3, 50, 60, 70, 4]])


def logits(policy, weights):
    with torch.no_grad(), policy.weights(weights):
        return policy.model(input_ids=IDS).logits


def test_snapshot_and_policy_start_equal_to_the_base():
    policy = tiny_policy()
    base = logits(policy, TeacherWeights.BASE)
    assert torch.equal(logits(policy, TeacherWeights.SNAPSHOT), base)
    assert torch.equal(logits(policy, TeacherWeights.LIVE), base)


@pytest.mark.parametrize("targets", TARGETS)
def test_the_snapshot_equals_the_live_adapter_after_a_sync_and_does_not_follow_its_changes(targets):
    policy = tiny_policy(tiny_settings(lora_target_modules=targets), random_adapters=True)
    assert not torch.equal(logits(policy, TeacherWeights.SNAPSHOT), logits(policy, TeacherWeights.LIVE))
    policy.sync_snapshot()
    synced = logits(policy, TeacherWeights.SNAPSHOT)
    assert torch.equal(synced, logits(policy, TeacherWeights.LIVE))
    with torch.no_grad():
        for parameter in policy.adapter(LIVE_ADAPTER).values():
            parameter.add_(0.1)
    assert torch.equal(logits(policy, TeacherWeights.SNAPSHOT), synced)
    assert not torch.equal(logits(policy, TeacherWeights.LIVE), synced)


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("weights", list(TeacherWeights))
def test_only_the_live_adapter_is_trainable_after_any_weights_were_used(weights, targets):
    policy = tiny_policy(tiny_settings(lora_target_modules=targets))
    optimized = {
        id(p) for group in make_optimizer(policy, settings=tiny_settings()).param_groups for p in group["params"]
    }
    logits(policy, weights)
    trainable = {id(parameter) for parameter in policy.model.parameters() if parameter.requires_grad}
    live = {id(parameter) for parameter in policy.adapter(LIVE_ADAPTER).values()}
    assert trainable == optimized == live
    assert not live & {id(parameter) for parameter in policy.adapter(SNAPSHOT_ADAPTER).values()}


def test_adapters_on_the_embedding_are_included():
    policy = tiny_policy(tiny_settings(lora_target_modules=("q_proj", "embed_tokens")))
    names = [name.removeprefix("base_model.model.model.") for name in policy.adapter(LIVE_ADAPTER)]
    assert names[:2] == ["embed_tokens.lora_embedding_A", "embed_tokens.lora_embedding_B"]
    assert names[2:] == [f"layers.{i}.self_attn.q_proj.lora_{ab}.weight" for i in (0, 1) for ab in "AB"]
    assert list(policy.adapter(SNAPSHOT_ADAPTER)) == list(policy.adapter(LIVE_ADAPTER))


def test_a_trainable_parameter_that_belongs_to_no_adapter_is_refused_before_training():
    policy = tiny_policy()
    policy.model.get_base_model().model.norm.weight.requires_grad_()
    with pytest.raises(ValueError, match=r"trainable parameters besides the adapter: \S+\.norm\.weight$"):
        make_optimizer(policy, settings=tiny_settings())


def test_loading_a_model_prints_nothing_and_restores_progress_bars(tmp_path, capfd):
    model = save_tiny_model(tmp_path)
    capfd.readouterr()
    was_enabled = transformers_logging.is_progress_bar_enabled()
    try:
        for enabled, switch in (
            (True, transformers_logging.enable_progress_bar),
            (False, transformers_logging.disable_progress_bar),
        ):
            switch()
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                load_policy(model, settings=tiny_settings())
            assert transformers_logging.is_progress_bar_enabled() is enabled
    finally:
        (transformers_logging.enable_progress_bar if was_enabled else transformers_logging.disable_progress_bar)()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("q_proj", "embed_tokens")])
def test_the_exported_adapter_loads_with_peft_and_gives_the_same_logits(tmp_path, targets):
    model = save_tiny_model(tmp_path / "model", tied=False)
    policy = load_policy(model, settings=tiny_settings(lora_target_modules=targets))
    with torch.no_grad():
        for index, parameter in enumerate(policy.adapter(LIVE_ADAPTER).values()):
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(index))
    export_adapter(policy, tmp_path / "adapter", base_model=model)

    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), tmp_path / "adapter").eval()
    with torch.no_grad():
        found = loaded(input_ids=IDS).logits
    assert torch.equal(found, logits(policy, TeacherWeights.LIVE))
    assert not torch.equal(found, logits(policy, TeacherWeights.BASE))
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == model
    assert sorted(config["target_modules"]) == sorted(targets)
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_a_model_is_loaded_in_the_requested_precision_with_its_adapter_in_float32(tmp_path):
    policy = load_policy(save_tiny_model(tmp_path), settings=tiny_settings(dtype="bfloat16", device="auto"))
    assert policy.model.get_base_model().dtype == torch.bfloat16
    assert {parameter.dtype for parameter in policy.adapter(LIVE_ADAPTER).values()} == {torch.float32}


def write_gguf(model, path):
    """Write the tiny Llama with GGUF's tensor names and permutations."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        for projection, count in heads.items():
            if projection in name:
                halves = tensor.view(count, 2, -1, tensor.shape[1])
                tensor = halves.transpose(1, 2).reshape(tensor.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_folder_with_one_gguf_file_is_a_model(tmp_path):
    expected = tiny_model()
    tiny_tokenizer().save_pretrained(tmp_path)
    write_gguf(expected, tmp_path / "tiny.gguf")
    policy = load_policy(str(tmp_path), settings=tiny_settings())
    with torch.no_grad():
        torch.testing.assert_close(logits(policy, TeacherWeights.LIVE), expected(input_ids=IDS).logits)


def test_a_folder_with_two_gguf_files_is_refused_naming_them_but_not_the_folder(tmp_path):
    folder = save_tiny_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    for name in ("one.gguf", "other.gguf"):
        (tmp_path / name).touch()
    with pytest.raises(Fault, match=r"contains 2 \.gguf files \(one\.gguf, other\.gguf\)") as refusal:
        load_policy(folder, settings=tiny_settings())
    assert (refusal.value.code, refusal.value.param) == (FaultCode.MODEL_NOT_LOADED, "model")
    assert folder not in str(refusal.value)


def test_a_model_with_missing_weights_is_refused(tmp_path):
    model = save_tiny_model(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"weights are missing: model\.layers\.1\.mlp\.up_proj\.weight"):
        load_policy(model, settings=tiny_settings())


def test_a_tokenizer_without_chat_template_or_pad_token():
    with pytest.raises(ValueError, match="no chat template"):
        build_policy(tiny_model(), tokenizer=tiny_tokenizer(chat_template=None), settings=tiny_settings())
    policy = build_policy(tiny_model(), tokenizer=tiny_tokenizer(pad=None), settings=tiny_settings())
    assert policy.eos_ids == (0,)
    assert policy.pad_id == 0


def test_every_declared_end_of_sequence_token_counts():
    model = tiny_model()
    model.generation_config.eos_token_id = [0, 4]
    assert build_policy(model, tokenizer=tiny_tokenizer(), settings=tiny_settings()).eos_ids == (0, 4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_requesting_cuda_without_a_device_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no CUDA device"):
        load_policy(save_tiny_model(tmp_path), settings=tiny_settings(device="cuda"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lambda", 1.5),
        ("eps_w", (1.2, 0.2)),
        ("num_generations", 1),
        ("temperature", 0.0),
        ("teacher", "frozen"),
        ("hint", "reference"),
        ("loss", "mean"),
        ("dual_clip", 0.5),
        ("lora_dropout", 1.0),
        ("token_share", -0.1),
    ],
)
def test_an_invalid_setting_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field.removeprefix("lora_")):
        tiny_settings(**{field: value})
