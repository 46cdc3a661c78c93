"""Names of layers that a job may adapt."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file
from transformers import OPTConfig

from tests.worker.engine.tiny import save_tiny_model, tiny_settings
from tests.worker.engine.tiny_vision import save_tiny_vision_model
from worker.engine.faults import Fault, FaultCode
from worker.engine.model.assets import load_assets
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.model.policy_loading import load_policy
from worker.engine.model.targets import require_targets


@pytest.mark.parametrize(
    "targets", ["q_projj", "(", r".*\.norm", ("q_proj", "c_attn"), ("norm",), ("",), (".*",), ("model",)]
)
def test_a_name_of_no_layer_is_refused_with_the_names_there_are(tmp_path: Path, targets: str | tuple[str, ...]) -> None:
    folder = save_tiny_model(tmp_path)
    for weights in tmp_path.glob("*.safetensors"):
        save_file({}, weights)  # weights are not read: they would be missing
    with pytest.raises(
        Fault, match="is the name of no layer of the model: choose from down_proj, embed_tokens"
    ) as error:
        load_policy(folder, settings=tiny_settings(lora_target_modules=targets))
    assert (error.value.code, error.value.param) == (FaultCode.NO_SUCH_LAYER, "lora.target_modules")
    name = targets if isinstance(targets, str) else targets[-1]
    assert f"'{name}'" in error.value.message


@pytest.mark.parametrize(("target", "partner"), [("lm_head", "embed_tokens"), ("embed_tokens", "lm_head")])
def test_a_weight_with_two_uses_is_refused_before_training(tmp_path: Path, target: str, partner: str) -> None:
    folder = save_tiny_model(tmp_path)
    with pytest.raises(Fault, match=f"'{target}' shares its weight with '{partner}'") as error:
        load_policy(folder, settings=tiny_settings(lora_target_modules=("q_proj", target)))
    assert not re.search(rf"choose from .*({target}|{partner})", error.value.message)


def test_names_and_ends_of_full_names_are_taken(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    settings = tiny_settings(lora_target_modules=("q_proj", "layers.0.mlp.up_proj"))
    names = load_policy(folder, settings=settings).adapter(LIVE_ADAPTER)
    assert {name.partition("layers.")[2].partition(".lora_")[0] for name in names} == {
        "0.self_attn.q_proj",
        "1.self_attn.q_proj",
        "0.mlp.up_proj",
    }
    single = load_policy(folder, settings=tiny_settings(lora_target_modules="v_proj")).adapter(LIVE_ADAPTER)
    assert all(".v_proj." in name for name in single)


def test_a_text_that_names_no_layer_is_a_pattern_of_full_names_as_in_jobs_of_earlier_versions(tmp_path: Path) -> None:
    folder, settings = save_tiny_model(tmp_path), tiny_settings(lora_target_modules=r"model\.layers\.1\..*\.[qv]_proj")
    names = load_policy(folder, settings=settings).adapter(LIVE_ADAPTER)
    assert {name.partition("layers.")[2].partition(".lora_")[0] for name in names} == {
        "1.self_attn.q_proj",
        "1.self_attn.v_proj",
    }


def test_layers_of_a_vision_tower_are_no_targets(tmp_path: Path) -> None:
    assets = load_assets(save_tiny_vision_model(tmp_path, family="qwen2_vl"), allow_remote_code=False)
    require_targets(assets, ("q_proj",), allow_remote_code=False)
    with pytest.raises(Fault, match="'patch_embed' is the name of no layer"):
        require_targets(assets, ("q_proj", "patch_embed"), allow_remote_code=False)


def test_an_embedding_of_positions_is_no_target(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    sizes = {"vocab_size": 64, "hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 16, "num_attention_heads": 2}
    config = OPTConfig(**sizes, num_hidden_layers=1, max_position_embeddings=32)
    assets = replace(load_assets(folder, allow_remote_code=False), config=config)
    with pytest.raises(Fault, match="'embed_positions' is the name of no layer of the model: choose from"):
        require_targets(assets, ("fc1", "embed_positions"), allow_remote_code=False)
    require_targets(assets, ("fc1", "q_proj"), allow_remote_code=False)
