"""Conversion to a GGUF file with llama.cpp's own library, from a folder in Hugging Face layout.

Supports dense models of the families in `FAMILIES` with unscaled rotary positions and a byte-level BPE tokenizer; other
models raise `NotWritableError`. One tensor is in memory at a time. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import gguf.quants
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer


class NotWritableError(ValueError):
    """The converter does not support this model; the message names the part."""


@dataclass(frozen=True, slots=True)
class GgufVocabulary:
    """A vocabulary in GGUF's form, `[V]` each."""

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    pre: str
    """llama.cpp's name of the pre-tokenizer."""


def read_vocabulary(folder: Path, *, vocab_size: int) -> GgufVocabulary:
    """Read `tokenizer.json`, padded to the rows of the embedding. NotWritableError if it is not supported."""
    path = folder / "tokenizer.json"
    if not path.exists():
        raise NotWritableError("the model has no tokenizer.json")
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    model = tokenizer["model"]
    if model.get("type") != "BPE" or model.get("byte_fallback") or not model.get("merges"):
        raise NotWritableError("its tokenizer is not a byte-level BPE")
    if (tokenizer.get("normalizer") or {"type": "NFC"})["type"] != "NFC":
        raise NotWritableError(f"its tokenizer normalises text ({tokenizer['normalizer']['type']})")
    added = {token["id"]: token for token in tokenizer["added_tokens"]}
    texts = {index: text for text, index in model["vocab"].items()}
    texts |= {index: token["content"] for index, token in added.items()}
    if max(texts) >= vocab_size:
        raise NotWritableError(f"its tokenizer has {max(texts) + 1} tokens, but the model's vocabulary {vocab_size}")
    return GgufVocabulary(
        tokens=tuple(texts.get(index, f"[PAD{index}]") for index in range(vocab_size)),
        types=tuple(_token_type(index, known=texts, added=added) for index in range(vocab_size)),
        merges=tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]),
        pre=_pre_tokenizer_name(tokenizer.get("pre_tokenizer")),
    )


def _token_type(index: int, *, known: dict[int, str], added: dict[int, Any]) -> int:
    kind = gguf.TokenType.NORMAL if index in known else gguf.TokenType.UNUSED
    if index in added:
        kind = gguf.TokenType.CONTROL if added[index]["special"] else gguf.TokenType.USER_DEFINED
    return int(kind)


def _pre_tokenizer_name(pre_tokenizer: dict[str, Any] | None) -> str:
    if pre_tokenizer is None:
        parts: list[dict[str, Any]] = []
    else:
        parts = pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]
    match [_part_kind(part) for part in parts]:
        case [("ByteLevel", True)]:
            return "gpt-2"
        case [("Digits", True), ("ByteLevel", True)]:
            return "smollm"
        case [("Split", str() as pattern), ("ByteLevel", False)] if pattern in SPLITS:
            return SPLITS[pattern]
    raise NotWritableError("its pre-tokenizer is not supported")


FAMILIES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""`model_type` to the architecture's name in GGUF."""
DTYPES = {
    "float32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "float16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bfloat16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
Q8_BLOCK = 32
"""Values of a row that share a scale; matrices whose rows are no multiple of it are stored in float16."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """A tensor of the folder and its name in the file."""

    name: str
    gguf_name: str
    interleave: int
    """Heads whose rows are reordered, 0 for none: llama.cpp rotates adjacent pairs here instead of halves."""


def write_gguf(folder: Path, path: Path, *, name: str, dtype: str) -> None:
    """Write the model in `folder` to `path`: matrices in a dtype of `DTYPES`, vectors in float32. NotWritableError."""
    config = AutoConfig.from_pretrained(folder)
    _require_plain(config)
    vocabulary = read_vocabulary(folder, vocab_size=config.vocab_size)
    architecture = FAMILIES[config.model_type]
    with ExitStack() as stack:
        files = [stack.enter_context(safe_open(file, framework="pt")) for file in sorted(folder.glob("*.safetensors"))]
        places = {name: file for file in files for name in file.keys()}  # noqa: SIM118 - not a dict
        entries = _entries(sorted(places), config=config, architecture=architecture)
        writer = gguf.GGUFWriter(path, architecture)
        _describe(writer, config=config, name=name, file_type=DTYPES[dtype][1])
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(vocabulary.pre)
        writer.add_token_list(list(vocabulary.tokens))
        writer.add_token_types(list(vocabulary.types))
        writer.add_token_merges(list(vocabulary.merges))
        _describe_chat(writer, folder)
        for entry in entries:
            shape = tuple(places[entry.name].get_slice(entry.name).get_shape())
            kind = DTYPES[_stored_dtype(shape, dtype=dtype)][0]
            shape_in_bytes = gguf.quant_shape_to_byte_shape(shape, kind)
            size_bytes = math.prod(shape_in_bytes)
            writer.add_tensor_info(entry.gguf_name, shape_in_bytes, np.dtype(np.uint8), size_bytes, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for entry in entries:
            writer.write_tensor_data(_data(places[entry.name].get_tensor(entry.name), entry, dtype=dtype))
        writer.close()


def _require_plain(config: Any) -> None:
    """Raise NotWritableError for features that the file could not express."""
    if config.model_type not in FAMILIES:
        raise NotWritableError(f"its architecture is {config.model_type}; only {', '.join(FAMILIES)} are supported")
    rope = config.rope_parameters or {}
    if rope.get("rope_type", "default") != "default" or rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise NotWritableError(f"its rotary positions are scaled ({rope.get('rope_type')})")
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        raise NotWritableError("it uses sliding window attention")
    if config.hidden_act != "silu":
        raise NotWritableError(f"its activation is {config.hidden_act}, not silu")
    if getattr(config, "mlp_bias", False) or (
        config.model_type != "qwen2" and getattr(config, "attention_bias", False)
    ):
        raise NotWritableError("its layers have biases")


def _entries(names: list[str], *, config: Any, architecture: str) -> list[TensorEntry]:
    arch = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == architecture)
    mapping = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    entries = []
    for name in names:
        gguf_name = mapping.get_name(name, try_suffixes=(".weight", ".bias"))
        if gguf_name is None:
            raise NotWritableError(f"its tensor {name} is not part of the architecture {architecture}")
        module = name.split(".")[-2]
        entries.append(TensorEntry(name, gguf_name, heads.get(module, 0) if architecture == "llama" else 0))
    return entries


def _stored_dtype(shape: tuple[int, ...], *, dtype: str) -> str:
    """Return the dtype of `DTYPES` that a tensor is stored in, if matrices are stored in `dtype`."""
    if len(shape) == 1:
        return "float32"
    return "float16" if dtype == "q8_0" and shape[-1] % Q8_BLOCK else dtype


def _data(tensor: Tensor, entry: TensorEntry, *, dtype: str) -> NDArray[Any]:
    """Return the data in the file's layout."""
    if entry.interleave:
        halves = tensor.view(entry.interleave, 2, tensor.shape[0] // entry.interleave // 2, *tensor.shape[1:])
        tensor = halves.swapaxes(1, 2).reshape(tensor.shape)
    stored = _stored_dtype(tuple(tensor.shape), dtype=dtype)
    data: NDArray[Any]
    if stored == "q8_0":
        data = gguf.quants.quantize(tensor.float().contiguous().numpy(), DTYPES[stored][0])
    elif stored == "bfloat16":
        data = tensor.bfloat16().contiguous().view(torch.uint8).numpy()
    else:
        data = np.ascontiguousarray(tensor.to(getattr(torch, stored)).numpy())
    return data


def _describe(writer: Any, *, config: Any, name: str, file_type: Any) -> None:
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_name(name)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base((config.rope_parameters or {}).get("rope_theta", 10000.0))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _describe_chat(writer: Any, folder: Path) -> None:
    """Write the special tokens and the chat template."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for add, index in _special_tokens(writer, tokenizer):
        if index is not None:
            add(index)
    writer.add_add_bos_token(tokenizer.encode("a")[0] == tokenizer.bos_token_id)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _special_tokens(writer: Any, tokenizer: Any) -> Iterator[tuple[Any, int | None]]:
    yield writer.add_bos_token_id, tokenizer.bos_token_id
    yield writer.add_eos_token_id, tokenizer.eos_token_id
    yield writer.add_pad_token_id, tokenizer.pad_token_id


_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"


_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"


SPLITS = {
    rf"{_SHORT}|{_WORDS}|\p{{N}}|{_REST}": "qwen2",
    rf"{_SHORT}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}": "llama-bpe",
}
"""Split pattern of a tokenizer to llama.cpp's name for it."""


def _part_kind(part: dict[str, Any]) -> tuple[str, Any]:
    """Return the properties that decide how a pre-tokenizer splits text; None as the second if not supported."""
    match part:
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": bool() as own}:
            return "ByteLevel", own
        case {"type": "Digits", "individual_digits": True}:
            return "Digits", True
        case {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}:
            return "Split", pattern
    return str(part["type"]), None
