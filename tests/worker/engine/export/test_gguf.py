"""GGUF files give the same output in llama.cpp and transformers as the model; unsupported models are refused."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from tokenizers import Regex, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from backend.settings import STARTER_MODEL
from worker.engine.export.gguf import SPLITS, NotWritableError, write_gguf

TEXT = "Start at item-7, it's  a test: 123456 né\n\n x"
SHAPE = {
    "vocab_size": 848,  # three more than the starter's tokenizer knows
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
FAMILIES: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=False)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE, tie_word_embeddings=True)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=128, tie_word_embeddings=False)),
}
ASK_LLAMA_CPP = """
import json, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.cpuparams.n_threads, params.warmup = sys.argv[1], 256, 1, False
server = xllamacpp.Server(params)
found = []
for length in range(6, len(sys.argv[2]) + 1, 6):
    request = {"prompt": sys.argv[2][:length], "max_tokens": 1, "temperature": 0, "logprobs": 10}
    answer = server.handle_completions(request)
    answer = json.loads(answer) if isinstance(answer, str) else answer
    tokens = (answer["choices"][0]["logprobs"] or {}).get("content", [])  # none where it wrote half a character
    found += [[length, {one["id"]: one["logprob"] for one in token["top_logprobs"]}] for token in tokens]
print("FOUND", json.dumps(found))
"""


@pytest.fixture(params=[*FAMILIES, "starter"])
def model_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return STARTER_MODEL if request.param == "starter" else saved(FAMILIES[request.param], tmp_path / "model")


def saved(build: Callable[[], Any], folder: Path, *, dtype: torch.dtype = torch.float32) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build()
        for parameter in model.parameters():  # biases and norms that would not be missed otherwise
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
    model.to(dtype).save_pretrained(folder)
    AutoTokenizer.from_pretrained(STARTER_MODEL).save_pretrained(folder)
    return folder


def logits(folder: Path, ids: list[int], **source: str) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **source)
    with torch.no_grad():
        return torch.as_tensor(model(torch.tensor([ids])).logits)


def test_transformers_reads_back_the_same_model_and_tokenizer(model_folder: Path, tmp_path: Path) -> None:
    write_gguf(model_folder, tmp_path / "m.gguf", name="m", dtype="float32")
    mine = AutoTokenizer.from_pretrained(model_folder)
    theirs = AutoTokenizer.from_pretrained(tmp_path, gguf_file="m.gguf")
    ids = mine.encode("<|im_start|>user\n" + TEXT, add_special_tokens=False)
    assert theirs.encode("<|im_start|>user\n" + TEXT, add_special_tokens=False) == ids
    assert theirs.chat_template == mine.chat_template
    assert torch.equal(logits(model_folder, ids), logits(tmp_path, ids, gguf_file="m.gguf"))


def test_llama_cpp_agrees_with_transformers(model_folder: Path, tmp_path: Path) -> None:
    write_gguf(model_folder, tmp_path / "m.gguf", name="m", dtype="float32")
    done = subprocess.run(
        [sys.executable, "-c", ASK_LLAMA_CPP, str(tmp_path / "m.gguf"), TEXT],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("FOUND"))[6:])
    assert len(found) >= 3
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    for length, theirs in found:
        ids = tokenizer.encode(TEXT[:length], add_special_tokens=False)
        mine = logits(model_folder, ids)[0, -1].log_softmax(-1)
        assert len(theirs) == 10
        for token, logp in theirs.items():
            assert logp == pytest.approx(mine[int(token)].item(), abs=0.05)  # its cache is of 16 bits


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halved_weights_stay_as_they_are_and_files_are_equal(dtype: torch.dtype, tmp_path: Path) -> None:
    folder = saved(FAMILIES["qwen2"], tmp_path / "model", dtype=dtype)
    for name in ("one.gguf", "two.gguf"):
        write_gguf(folder, tmp_path / name, name="m", dtype=str(dtype).removeprefix("torch."))
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "two.gguf").read_bytes()
    assert torch.equal(logits(folder, [5, 6, 7]), logits(tmp_path, [5, 6, 7], gguf_file="one.gguf"))


def test_eight_bits_a_weight_are_close_and_narrow_matrices_keep_sixteen(tmp_path: Path) -> None:
    narrow = SHAPE | {"intermediate_size": 80}
    folder = saved(lambda: LlamaForCausalLM(LlamaConfig(**narrow, tie_word_embeddings=True)), tmp_path / "model")
    for dtype in ("q8_0", "float16"):
        (tmp_path / dtype).mkdir()
        write_gguf(folder, tmp_path / dtype / "m.gguf", name="m", dtype=dtype)
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "q8_0" / "m.gguf").tensors}
    assert kinds["blk.0.attn_q.weight"] == kinds["token_embd.weight"] == "Q8_0"
    assert kinds["blk.0.ffn_down.weight"] == "F16"
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    mine, theirs = (logits(tmp_path / dtype, [5, 6, 7], gguf_file="m.gguf") for dtype in ("float16", "q8_0"))
    assert 0 < (mine - theirs).abs().max() < 0.2 * mine.abs().max()
    sizes = [(tmp_path / dtype / "m.gguf").stat().st_size for dtype in ("q8_0", "float16")]
    assert sizes[0] < sizes[1]


def test_each_matrix_is_quantised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(FAMILIES["qwen2"], tmp_path / "model")
    shapes = []
    quantize = gguf.quants.quantize

    def counted(data: Any, kind: Any) -> Any:
        shapes.append(data.shape)
        return quantize(data, kind)

    monkeypatch.setattr(gguf.quants, "quantize", counted)
    write_gguf(folder, tmp_path / "model.gguf", name="m", dtype="q8_0")
    assert len(shapes) == 1 + 2 * 7  # the embedding, and each layer's matrices


def test_every_supported_pre_tokenizer_has_its_name(tmp_path: Path) -> None:
    folder = saved(FAMILIES["qwen2"], tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    own = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for pattern, name in SPLITS.items():
        cut = pre_tokenizers.Split(Regex(pattern), "isolated")
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, own])
        tokenizer.save_pretrained(folder)
        write_gguf(folder, tmp_path / "m.gguf", name="m", dtype="float32")
        assert gguf.GGUFReader(tmp_path / "m.gguf").fields["tokenizer.ggml.pre"].contents() == name


def with_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def with_tokenizer(folder: Path, **changes: Any) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


SCALED = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: with_config(folder, model_type="gpt_neox"), "its architecture is gpt_neox"),
        (lambda folder: with_config(folder, rope_parameters=SCALED), "rotary positions are scaled"),
        (lambda folder: with_config(folder, hidden_act="gelu"), "activation is gelu"),
        (lambda folder: with_config(folder, attention_bias=True), "have biases"),
        (lambda folder: with_config(folder, vocab_size=100), "has 845 tokens, but the model.s vocabulary 100"),
        (lambda folder: with_tokenizer(folder, normalizer={"type": "Lowercase"}), "normalises text"),
        (lambda folder: with_tokenizer(folder, pre_tokenizer={"type": "Whitespace"}), "pre-tokenizer is not supported"),
        (lambda folder: with_tokenizer(folder, model={"type": "WordLevel", "vocab": {}}), "not a byte-level BPE"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer.json"),
    ],
)
def test_an_unsupported_model_is_refused(spoil: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    folder = saved(FAMILIES["llama"], tmp_path / "model")
    spoil(folder)
    with pytest.raises(NotWritableError, match=message):
        write_gguf(folder, tmp_path / "m.gguf", name="m", dtype="float32")
    assert not (tmp_path / "m.gguf").exists()


def test_a_sliding_window_is_refused(tmp_path: Path) -> None:
    folder = saved(FAMILIES["llama"], tmp_path / "model")
    MistralConfig(**SHAPE, sliding_window=64).save_pretrained(folder)
    with pytest.raises(NotWritableError, match="sliding window"):
        write_gguf(folder, tmp_path / "m.gguf", name="m", dtype="float32")
