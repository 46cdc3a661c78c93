"""One text of a completion, however it is decoded, with the special tokens that the model wrote."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from tests.worker.engine.thinking import ORDINARY, WRITTEN, thinking_policy
from tests.worker.engine.tiny import tiny_settings
from tests.worker.engine.tiny_vision import tiny_processor, tiny_vision_model
from worker.engine.model.completion_text import CompletionDecoder
from worker.engine.model.policy_loading import build_policy

POLICY = thinking_policy(tiny_settings())
SKIPPING = replace(POLICY, skip_special_tokens=True)
TOKENIZER = POLICY.tokenizer
ANY_IDS = st.lists(st.integers(0, len(TOKENIZER) - 1), max_size=60)
TEXT = "<think>5 × 1 = 5 .</think> <tool_call>{}</tool_call><answer>Answer: 5 €</answer> n't 😀"


def ids_of(text: str) -> list[int]:
    return list(TOKENIZER.encode(text, add_special_tokens=False))


def spaced_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer in the way of SentencePiece: spaces are part of words, the first one is not shown."""
    words = ["<s>", "</s>", "<think>", "▁Hi", "▁you", "▁", ".", "o"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<s>"))
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<think>"],
        clean_up_tokenization_spaces=True,
    )


SPACED = CompletionDecoder.of(spaced_tokenizer(), silent_ids=(0, 1), skip_special_tokens=False)


def test_special_tokens_are_part_of_the_text() -> None:
    assert all(token in ids_of(TEXT) for token in TOKENIZER.convert_tokens_to_ids([*WRITTEN, ORDINARY]))
    assert POLICY.decoder.text(ids_of(TEXT)) == TEXT


def test_special_tokens_can_be_skipped_and_ordinary_ones_stay() -> None:
    expected = TEXT
    for token in WRITTEN:
        expected = expected.replace(token, "")
    assert SKIPPING.decoder.text(ids_of(TEXT)) == expected
    assert ORDINARY in expected


def test_tokens_that_end_or_pad_a_sequence_are_never_part_of_it() -> None:
    ids = [TOKENIZER.pad_token_id, *ids_of("a"), TOKENIZER.pad_token_id, *ids_of("b"), TOKENIZER.eos_token_id]
    assert POLICY.decoder.text(ids) == "ab"
    assert POLICY.decoder.token_texts(ids) == ["", "a", "", "b", ""]


def test_a_word_that_a_tokenizer_pads_with_is_part_of_the_text() -> None:
    padding = replace(POLICY, pad_id=TOKENIZER.convert_tokens_to_ids("!"))
    assert padding.decoder.text(ids_of("Hi! 5!")) == "Hi! 5!"
    for marker in (TOKENIZER.pad_token, "<think>"):
        marked = replace(POLICY, pad_id=TOKENIZER.convert_tokens_to_ids(marker))
        assert marked.decoder.text([marked.pad_id, *ids_of("Hi!"), marked.pad_id]) == "Hi!"


@pytest.mark.parametrize("policy", [POLICY, SKIPPING], ids=["kept", "skipped"])
@given(ids=ANY_IDS)
def test_the_texts_of_tokens_join_to_the_text(policy, ids: list[int]) -> None:
    texts = policy.decoder.token_texts(ids)
    assert len(texts) == len(ids)
    assert "".join(texts) == policy.decoder.text(ids)


@pytest.mark.parametrize("policy", [POLICY, SKIPPING], ids=["kept", "skipped"])
@given(parts=st.lists(st.sampled_from(["a ", "€", "😀", "\ufffd", " .", *WRITTEN, ORDINARY]), max_size=30))
def test_a_streamed_text_is_the_whole_one(policy, parts: list[str]) -> None:
    text = "".join(parts)
    stream, ids = policy.decoder.stream(), ids_of(text)
    assert "".join(map(stream.push, ids)) + stream.end() == policy.decoder.text(ids)
    assert policy is SKIPPING or policy.decoder.text(ids) == text


def test_a_token_gets_the_characters_that_it_ends() -> None:
    (think,) = ids_of("<think>")
    euro, texts = ids_of("€"), POLICY.decoder.token_texts([think, *ids_of("€a")])
    assert len(euro) == 3
    assert texts == ["<think>", "", "", "€", "a"]


def test_bytes_that_are_no_text_still_join() -> None:
    broken, length = ids_of("€")[:1], 200
    ids = [*(broken * length), *ids_of("€a")]
    assert "".join(POLICY.decoder.token_texts(ids)) == POLICY.decoder.text(ids)


@given(st.lists(st.integers(0, 7), max_size=12))
def test_spaces_of_words_are_where_the_whole_text_has_them(ids: list[int]) -> None:
    stream, whole = SPACED.stream(), SPACED.text(ids)
    assert "".join(SPACED.token_texts(ids)) == whole
    assert "".join(map(stream.push, ids)) + stream.end() == whole


def test_spaces_before_punctuation_stay_and_a_silent_token_takes_no_space_with_it() -> None:
    hi, you, space, point, silent = 3, 4, 5, 6, 0
    assert SPACED.text([hi, silent, you, space, point]) == "Hi you ."
    assert SPACED.token_texts([hi, silent, you, space, point]) == ["Hi", "", " you", " ", "."]


def test_a_token_has_a_name_also_if_it_has_no_text() -> None:
    assert POLICY.decoder.name(TOKENIZER.eos_token_id) == "<|im_end|>"


def test_an_image_token_in_a_completion_is_no_text_since_the_model_reads_padding() -> None:
    processor = tiny_processor()
    policy = build_policy(
        tiny_vision_model(), tokenizer=processor.tokenizer, settings=tiny_settings(), processor=processor
    )
    ids = processor.tokenizer.encode("a", add_special_tokens=False)
    assert policy.decoder.text([*ids, policy.vision.image_token_id, *ids]) == "aa"
