"""Owns how a byte-level BPE tokenizer is told in GGUF (llama.cpp's "gpt2" model of a vocabulary).

GGUF names the way text is cut before merging, it does not hold it. So a tokenizer is written only where that way is one
llama.cpp knows by name; its definitions: https://github.com/ggml-org/llama.cpp, `llama-vocab.cpp`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf

_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPLITS = {
    rf"{_SHORT}|{_WORDS}|\p{{N}}|{_REST}": "qwen2",
    rf"{_SHORT}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}": "llama-bpe",
}
"""Pattern of a tokenizer that cuts by its own -> llama.cpp's name."""


class NotWritableError(ValueError):
    """This model cannot be told in GGUF here; the message says what of it."""


@dataclass(frozen=True, slots=True)
class Words:
    """A vocabulary as GGUF holds it, `[V]` each."""

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    pre: str
    """llama.cpp's name of the way text is cut."""


def words_of(folder: Path, *, vocab_size: int) -> Words:
    """What `tokenizer.json` says, filled up to the rows of the embedding. NotWritableError where it cannot."""
    path = folder / "tokenizer.json"
    if not path.exists():
        raise NotWritableError("the model comes without tokenizer.json")
    told = json.loads(path.read_text(encoding="utf-8"))
    model = told["model"]
    if model.get("type") != "BPE" or model.get("byte_fallback") or not model.get("merges"):
        raise NotWritableError("its tokenizer is not a byte-level BPE")
    if (told.get("normalizer") or {"type": "NFC"})["type"] != "NFC":
        raise NotWritableError(f"its tokenizer changes text first ({told['normalizer']['type']})")
    added = {token["id"]: token for token in told["added_tokens"]}
    texts = {index: text for text, index in model["vocab"].items()}
    texts |= {index: token["content"] for index, token in added.items()}
    if max(texts) >= vocab_size:
        raise NotWritableError(f"its tokenizer knows {max(texts) + 1} tokens, the model {vocab_size}")
    return Words(
        tokens=tuple(texts.get(index, f"[PAD{index}]") for index in range(vocab_size)),
        types=tuple(_type(index, known=texts, added=added) for index in range(vocab_size)),
        merges=tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]),
        pre=_pre(told.get("pre_tokenizer")),
    )


def _type(index: int, *, known: dict[int, str], added: dict[int, Any]) -> int:
    kind = gguf.TokenType.NORMAL if index in known else gguf.TokenType.UNUSED
    if index in added:
        kind = gguf.TokenType.CONTROL if added[index]["special"] else gguf.TokenType.USER_DEFINED
    return int(kind)


def _pre(told: dict[str, Any] | None) -> str:
    parts = [] if told is None else told["pretokenizers"] if told["type"] == "Sequence" else [told]
    match [_essence(part) for part in parts]:
        case [("ByteLevel", True)]:
            return "gpt-2"
        case [("Digits", True), ("ByteLevel", True)]:
            return "smollm"
        case [("Split", str() as pattern), ("ByteLevel", False)] if pattern in SPLITS:
            return SPLITS[pattern]
    raise NotWritableError("its tokenizer cuts text in a way that has no name here")


def _essence(part: dict[str, Any]) -> tuple[str, Any]:
    """What decides how a part cuts; None where it does so in a way that is not known."""
    match part:
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": bool() as own}:
            return "ByteLevel", own
        case {"type": "Digits", "individual_digits": True}:
            return "Digits", True
        case {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}:
            return "Split", pattern
    return str(part["type"]), None
