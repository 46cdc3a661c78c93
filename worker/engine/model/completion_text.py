"""The text of a completion: the one place where sampled tokens become what verifiers and people read."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from worker.engine.model.detokenizer import Detokenizer

_MARKER = re.compile(r"[<\[].+[>\]]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CompletionDecoder:
    """Decodes the completions of a model, as a whole, token by token, or as they are sampled, all to the same text."""

    tokenizer: Any
    silent_ids: frozenset[int]
    """Tokens without text."""

    @classmethod
    def of(cls, tokenizer: Any, *, silent_ids: Iterable[int], skip_special_tokens: bool) -> "CompletionDecoder":
        """Build a decoder that leaves out `silent_ids` and, if asked to, every special token."""
        skipped = special_ids(tokenizer) if skip_special_tokens else frozenset()
        return cls(tokenizer, skipped.union(silent_ids))

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of a completion."""
        return verbatim(self.tokenizer, [token for token in ids if token not in self.silent_ids])

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """Divide the text of a completion among its tokens, in order; a character belongs to the token that ends it."""
        texts = iter(self._divided([token for token in ids if token not in self.silent_ids]))
        return ["" if token in self.silent_ids else next(texts) for token in ids]

    def stream(self) -> Detokenizer:
        """Create a detokenizer for a completion that is being sampled."""
        return Detokenizer(self.text, silent_ids=self.silent_ids)

    def name(self, token: int) -> str:
        """Return a token's own text, also if it has none in a completion."""
        return verbatim(self.tokenizer, [token])

    def _divided(self, ids: list[int]) -> list[str]:
        # Lengths come from the stream but characters from the whole: bytes that are no text may decode differently.
        whole, detokenizer = self.text(ids), self.stream()
        ends = [*accumulate(len(detokenizer.push(token)) for token in ids[:-1]), len(whole)]
        return [whole[start:end] for start, end in pairwise([0, *ends])] if ids else []


def verbatim(tokenizer: Any, ids: Sequence[int]) -> str:
    """Decode tokens to the text that they stand for, special tokens and spaces before punctuation included."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Return the tokens that transformers' `skip_special_tokens` leaves out."""
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(tokenizer.all_special_ids) | added


def is_word(tokenizer: Any, token: int) -> bool:
    """Return whether a token stands for text, as the `!` does with which some tokenizers pad, and is no `<marker>`."""
    text = verbatim(tokenizer, [token]).strip()
    return text != "" and _MARKER.fullmatch(text) is None
