"""Names of layers are compared with the model's files before a job is stored."""

import json
import struct
from pathlib import Path

import pytest

from backend.errors import AppError
from backend.jobs.targets import layer_names, require_targets
from backend.settings import STARTER_MODEL

LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def written(path: Path, shapes: dict[str, list[int]]) -> None:
    header = json.dumps({"__metadata__": {"format": "pt"}} | {name: {"shape": shape} for name, shape in shapes.items()})
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode())


@pytest.mark.parametrize("targets", ["q_projj", ("q_proj", "c_attn"), ("lm_head",), ("embed_tokens",)])
def test_a_layer_that_the_model_lacks_or_shares_is_refused_with_those_there_are(targets: str | tuple[str, ...]) -> None:
    with pytest.raises(AppError, match="choose from down_proj, gate_proj, k_proj") as error:
        require_targets("starter", models={"starter": str(STARTER_MODEL)}, targets=targets, param="p")
    assert (error.value.code, error.value.param, error.value.status) == ("no_such_layer", "p", 400)


@pytest.mark.parametrize("targets", [".*q_proj", r"(\w+\.?)*x", ("q_proj", "[qk]_proj"), "", ("a b",)])
@pytest.mark.parametrize("models", [{}, {"m": "organisation/name"}, {"m": str(STARTER_MODEL)}])
def test_what_is_no_name_is_refused_whatever_the_model(targets: str | tuple[str, ...], models: dict[str, str]) -> None:
    with pytest.raises(AppError, match="is not the name of a layer: name layers, such as 'q_proj'") as error:
        require_targets("m", models=models, targets=targets, param="p")
    assert (error.value.code, error.value.param, error.value.status) == ("no_such_layer", "p", 400)


@pytest.mark.parametrize("targets", ["all-linear", "q_proj", ("q_proj", "down_proj"), ("layers.0.self_attn.q_proj",)])
def test_layers_of_the_model_are_taken(targets: str | tuple[str, ...]) -> None:
    require_targets("starter", models={"starter": str(STARTER_MODEL)}, targets=targets, param="p")


def test_a_model_elsewhere_is_left_to_the_worker(tmp_path: Path) -> None:
    for models in ({}, {"m": str(tmp_path / "none")}, {"m": str(tmp_path)}, {"m": "organisation/name"}):
        require_targets("m", models=models, targets=("c_attn",), param="p")


def test_all_files_of_a_model_are_read_and_a_head_of_its_own_frees_the_embedding(tmp_path: Path) -> None:
    assert layer_names(STARTER_MODEL) == LINEAR
    written(tmp_path / "model-1.safetensors", {"model.embed_tokens.weight": [9, 4], "model.norm.weight": [4]})
    written(tmp_path / "model-2.safetensors", {"lm_head.weight": [9, 4], "model.layers.0.mlp.up_proj.weight": [4, 4]})
    assert layer_names(tmp_path) == {"embed_tokens", "lm_head", "up_proj"}


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 9) + b'{"a.weight'])
def test_a_damaged_file_is_left_to_the_worker(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    assert layer_names(tmp_path) is None
