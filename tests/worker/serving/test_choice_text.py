"""Stop sequences are found wherever tokens end, and each token's log-probability comes with its text."""

import math

from hypothesis import given
from hypothesis import strategies as st

from backend.chat.protocol import TokenLogprob
from worker.engine.model.detokenizer import Detokenizer
from worker.serving.choice_text import ChoiceText, Stops, TextPiece

WORDS = st.text(st.sampled_from("ab é€😀\ufffd\n"), max_size=30)


def by_bytes(ids: list[int]) -> str:
    """Decode like a byte-level tokenizer, one byte per token."""
    return bytes(ids).decode(errors="replace")


@given(
    text=st.text("abc", max_size=40),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(1, 5), min_size=1),
)
def test_the_text_ends_before_the_first_stop_sequence_however_it_is_cut(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    finder, emitted, stopped, place = Stops(stops), "", False, 0
    for piece in range(len(text)):
        size = cuts[piece % len(cuts)]
        new, stopped = finder.push(text[place : place + size])
        emitted, place = emitted + new, place + size
        if stopped or place >= len(text):
            break
    read = text[:place]
    found = [read.find(stop) for stop in stops if stop in read]
    assert stopped == bool(found)
    if stopped:
        assert emitted == read[: min(found)]
    else:
        assert emitted + finder.end() == text


def pieces_of(text: str, *, stops: list[str]) -> list[TextPiece]:
    """Stream the text with one token per byte; log-probabilities are named after their position."""
    choice_text = ChoiceText(Detokenizer(by_bytes), stops=stops)
    pieces = []
    for place, byte in enumerate(text.encode()):
        pieces.append(choice_text.push(byte, TokenLogprob(str(place), -math.pi, [])))
        if pieces[-1].stopped:
            return pieces
    return [*pieces, choice_text.end()]


def logprob_tokens(pieces: list[TextPiece]) -> list[str]:
    return [logprob.token for piece in pieces for logprob in piece.logprobs]


def test_a_stop_sequence_over_characters_of_several_tokens_is_found() -> None:
    pieces = pieces_of("ab€€.", stops=["€€"])
    assert "".join(piece.text for piece in pieces) == "ab"
    assert pieces[-1].stopped
    assert logprob_tokens(pieces) == ["0", "1"]


def test_what_looked_like_a_stop_sequence_is_said_after_all() -> None:
    pieces = pieces_of("abab", stops=["abac"])
    assert [piece.text for piece in pieces] == ["", "", "", "ab", "ab"]
    assert logprob_tokens(pieces) == ["0", "1", "2", "3"]


@given(text=WORDS, stops=st.lists(st.text("ab é€", min_size=1, max_size=3), max_size=2))
def test_each_token_is_told_once_and_none_behind_the_end(text: str, stops: list[str]) -> None:
    pieces = pieces_of(text, stops=stops)
    whole = "".join(piece.text for piece in pieces)
    assert text.startswith(whole)
    assert logprob_tokens(pieces) == [str(place) for place in range(len(logprob_tokens(pieces)))]
    if not pieces[-1].stopped:
        assert len(logprob_tokens(pieces)) == len(text.encode())
    else:
        assert len(logprob_tokens(pieces)) <= len(whole.encode()) + 3
