"""An exported model is accepted only if it agrees with its adapter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from tests.worker.engine.tiny import save_tiny_model, tiny_policy, tiny_settings
from tests.worker.engine.tiny_vision import GENERATIONS, image_tasks, save_tiny_vision_model
from worker.engine.export.equivalence import (
    Agreement,
    ReferenceCompletion,
    Tolerance,
    fitting_prompts,
    measure_agreement,
    reference_completions,
)
from worker.engine.export.merging import convert_model, copy_companions, merge_adapter, save_model
from worker.engine.model.adapter_files import fill_adapter
from worker.engine.model.policy import LIVE_ADAPTER, Policy
from worker.engine.model.policy_loading import load_policy
from worker.engine.types import Task

SETTINGS = tiny_settings()
TASKS = [
    Task(row=n, messages=({"role": "user", "content": f"What is {n}?"},), answer=str(n), solution=None,
         trajectory=None, privileged=None, item={})
    for n in range(10)
]  # fmt: skip


def adapted(folder: str, *, strength: float = 0.3) -> Policy:
    """Load the model with an adapter that changes its output."""
    policy = load_policy(folder, settings=SETTINGS)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in policy.adapter(LIVE_ADAPTER).items():
            scale = strength if "lora_B" in name else 0.3
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return policy


def exported(
    base: str, folder: Path, *, tasks: list[Task] = TASKS, dtype: str = "float32", strength: float = 0.3,
    spoil: Callable[[Any], None] = lambda _: None,
) -> tuple[list[ReferenceCompletion], Agreement]:  # fmt: skip
    policy = adapted(base, strength=strength)
    prompts = fitting_prompts(tasks, policy=policy, tokens=16)
    references = reference_completions(policy, prompts, tokens=16, seed=5)
    tokenizer, processor = policy.tokenizer, None if policy.vision is None else policy.vision.processor
    model = merge_adapter(policy)
    spoil(model)
    save_model(model, folder, dtype=getattr(torch, dtype), tokenizer=tokenizer, processor=processor)
    copy_companions(base, folder)
    return references, measure_agreement(load_policy(str(folder), settings=SETTINGS), references, dtype=dtype)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny_model(tmp_path_factory.mktemp("base"))


def test_a_merged_model_agrees_to_the_last_digits_and_loads_without_peft(base: str, tmp_path: Path) -> None:
    references, found = exported(base, tmp_path)
    assert found.faults(tokenizer_is_copied=True) == []
    assert found.max_difference < 1e-4
    assert found.effect > 0.1
    assert (found.prompts, found.read_alike, found.spelled_alike) == (8, 8, 8)
    assert found.tokens == sum(len(reference.ids_T) for reference in references)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.tensor([[*references[0].prompt.student.ids, *references[0].ids_T.tolist()]])
    with torch.no_grad():
        logps = plain(ids).logits[0, -len(references[0].ids_T) - 1 : -1].log_softmax(-1)
    assert torch.allclose(logps.gather(1, references[0].ids_T[:, None])[:, 0], references[0].logps_T, atol=1e-4)


def test_the_same_adapter_gives_the_same_bytes(base: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        exported(base, tmp_path / name, dtype="bfloat16")
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(files)
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)


@pytest.mark.parametrize(("dtype", "least"), [("float16", 1e-6), ("bfloat16", 1e-5)])
def test_rounding_is_measured_and_accepted(base: str, tmp_path: Path, dtype: str, least: float) -> None:
    _, found = exported(base, tmp_path, dtype=dtype)
    assert found.mean_difference > least
    assert found.faults(tokenizer_is_copied=True) == []
    assert AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto").dtype == getattr(torch, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_model_converted_from_float32_equals_one_saved_in_that_dtype(
    base: str, tmp_path: Path, dtype: torch.dtype
) -> None:
    for name, stored in (("merged", torch.float32), ("direct", dtype)):
        policy = adapted(base)
        tokenizer = policy.tokenizer
        save_model(merge_adapter(policy), tmp_path / name, dtype=stored, tokenizer=tokenizer, processor=None)
        copy_companions(base, tmp_path / name)
    convert_model(tmp_path / "merged", tmp_path / "converted", model_class=LlamaForCausalLM, dtype=dtype)
    files = sorted(path.name for path in (tmp_path / "direct").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "converted").iterdir())
    for name in files:
        assert (tmp_path / "converted" / name).read_bytes() == (tmp_path / "direct" / name).read_bytes(), name


def forget_a_layer(model: Any) -> None:
    torch.nn.init.zeros_(model.model.layers[1].mlp.down_proj.weight)


def shift_a_weight(model: Any) -> None:
    with torch.no_grad():
        model.model.layers[0].self_attn.q_proj.weight.mul_(1.02)


def lose_a_number(model: Any) -> None:
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = float("nan")


@pytest.mark.parametrize("spoil", [forget_a_layer, shift_a_weight, lose_a_number])
def test_a_broken_merge_is_refused(base: str, tmp_path: Path, spoil: Callable[[Any], None]) -> None:
    _, found = exported(base, tmp_path, spoil=spoil)
    assert found.faults(tokenizer_is_copied=True)


def test_the_base_itself_is_refused_even_where_the_adapter_is_weak(base: str, tmp_path: Path) -> None:
    references = reference_completions(
        weak := adapted(base, strength=0.001), fitting_prompts(TASKS, policy=weak, tokens=16), tokens=16, seed=5
    )
    found = measure_agreement(load_policy(base, settings=SETTINGS), references, dtype="bfloat16")
    assert found.mean_difference < found.tolerance.mean
    assert found.mean_difference == pytest.approx(found.effect)
    assert "more than 50% of what was learned is lost" in found.faults(tokenizer_is_copied=True)[0]


def test_a_vocabulary_in_another_order_is_refused(base: str, tmp_path: Path) -> None:
    references, found = exported(base, tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text().replace('"a":', '"?":').replace('"b":', '"a":').replace('"?":', '"b":'))
    found = measure_agreement(load_policy(str(tmp_path), settings=SETTINGS), references, dtype="float32")
    assert found.spelled_alike < found.prompts
    assert found.faults(tokenizer_is_copied=False) == ["its tokenizer decodes the tokens to different text"]


@pytest.mark.parametrize("family", GENERATIONS)
def test_a_model_that_reads_images_is_merged_whole(family: str, tmp_path: Path) -> None:
    base = save_tiny_vision_model(tmp_path / "base", family=family)
    tasks = image_tasks(3)
    _, found = exported(base, tmp_path / "merged", tasks=tasks)
    assert found.faults(tokenizer_is_copied=True) == []
    assert found.prompts == 3
    assert found.max_difference < 1e-4
    assert (tmp_path / "merged" / "video_preprocessor_config.json").exists()


def test_a_weight_with_two_uses_is_not_merged() -> None:
    policy = tiny_policy(tiny_settings(lora_target_modules=("lm_head",)))
    with pytest.raises(ValueError, match="share one weight"):
        merge_adapter(policy)


def test_an_adapter_of_another_model_is_refused(base: str) -> None:
    policy = load_policy(base, settings=SETTINGS)
    others = load_policy(base, settings=tiny_settings(lora_r=2)).adapter(LIVE_ADAPTER)
    with pytest.raises(ValueError, match="another model"):
        fill_adapter(policy, LIVE_ADAPTER, others)


def test_what_is_not_a_number_is_a_fault() -> None:
    nan = float("nan")
    found = Agreement(
        prompts=1, tokens=1, max_difference=nan, mean_difference=nan, greedy_equal=nan, effect=nan,
        read_alike=1, spelled_alike=1, tolerance=Tolerance(max=9.0, mean=9.0, greedy=0.0, lost=1.0),
    )  # fmt: skip
    assert len(found.faults(tokenizer_is_copied=True)) == 4
