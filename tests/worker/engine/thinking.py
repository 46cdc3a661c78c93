"""The starter's tokenizer with special tokens that models write in their answers, and a tiny model for it."""

import functools

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from examples.starter.tokenizer import train_tokenizer
from tests.worker.engine.tiny import tiny_model
from worker.engine.model.policy import Policy
from worker.engine.model.policy_loading import build_policy
from worker.engine.settings import Settings

WRITTEN = ("<think>", "</think>", "<tool_call>", "</tool_call>", "Answer")
"""Special tokens of an answer."""
ORDINARY = "<answer>"
"""An added token which is not special."""
TEXTS = ("How many beans make five?", "Five beans, says the answer: one, two, three, four, five.")


def thinking_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = train_tokenizer(TEXTS, vocabulary=280, context=512)
    tokenizer.add_tokens([AddedToken(text, special=True, normalized=False) for text in WRITTEN], special_tokens=True)
    tokenizer.add_tokens([AddedToken(ORDINARY, special=False, normalized=False)])
    return tokenizer


@functools.cache
def _shared_tokenizer() -> PreTrainedTokenizerFast:
    return thinking_tokenizer()


def thinking_policy(settings: Settings) -> Policy:
    tokenizer = _shared_tokenizer()
    model = tiny_model(vocab=len(tokenizer))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return build_policy(model, tokenizer=tokenizer, settings=settings)
