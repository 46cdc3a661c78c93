"""A GGUF file becomes a Hugging Face folder of the same model: the starter itself, small enough to be written here."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.small_gguf import STARTER, write_starter_gguf
from worker.engine.model.from_gguf import write_folder


def test_the_folder_holds_the_same_model_and_tokenizer(tmp_path: Path) -> None:
    gguf = write_starter_gguf(tmp_path / "starter.gguf")
    write_folder(gguf, tmp_path, end_of_turn="<|im_end|>")
    before = AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32)
    after = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    chat = [{"role": "user", "content": "Start at anvil. Look up the category, then the buyer, then the tier."}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    original = AutoTokenizer.from_pretrained(STARTER).apply_chat_template(chat, add_generation_prompt=True)
    assert inputs["input_ids"][0].tolist() == original["input_ids"]
    assert torch.equal(before(**inputs).logits, after(**inputs).logits)
    assert after.generation_config.eos_token_id == before.config.eos_token_id
    assert [path.suffix for path in tmp_path.glob("model*")] == [".safetensors"]
