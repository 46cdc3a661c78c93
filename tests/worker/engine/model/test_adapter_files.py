"""`adapter_config.json` holds what PEFT needs, and nothing that an older version refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig

from tests.worker.engine.tiny import tiny_policy, tiny_settings
from worker.engine.model.adapter_files import ALWAYS_WRITTEN, export_adapter, written_config


def test_an_adapter_names_only_what_the_oldest_version_knows_and_no_nulls(tmp_path: Path) -> None:
    policy = tiny_policy(tiny_settings(lora_dropout=0.1))
    export_adapter(policy, tmp_path, base_model="starter")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert sorted(config) == sorted(ALWAYS_WRITTEN)
    assert None not in config.values()
    assert config["base_model_name_or_path"] == "starter"
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 8.0, 0.1)
    assert config["inference_mode"] is True


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dora": True},
        {"use_rslora": True},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 16}},
        {"layers_to_transform": [0], "layers_pattern": "layers"},
        {"modules_to_save": ["lm_head"]},
        {"lora_bias": True},
        {"exclude_modules": ["k_proj"]},
        {"init_lora_weights": False},
    ],
)
def test_an_option_that_an_adapter_uses_is_written_and_read_back(tmp_path: Path, options: dict[str, Any]) -> None:
    config = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", **options)
    text = json.dumps(written_config(config), default=sorted)
    assert options.items() <= json.loads(text).items()
    assert set(json.loads(text)) - set(options) <= set(ALWAYS_WRITTEN)
    (tmp_path / "adapter_config.json").write_text(text)
    read = LoraConfig.from_pretrained(str(tmp_path)).to_dict()
    assert {name: read[name] for name in config.to_dict()} == config.to_dict()
