"""Tokens become whole characters, and stop sequences are found wherever tokens end."""

import math

from hypothesis import given
from hypothesis import strategies as st

from backend.chat.protocol import TokenLogprob
from tests.worker.engine.tiny import tiny_tokenizer
from worker.serving.detokenizer import ChoiceText, Detokenizer, Stops, TextPiece

WORDS = st.text(st.sampled_from("ab é€😀\ufffd\n"), max_size=30)
TOKENIZER = tiny_tokenizer()


def by_bytes(ids: list[int]) -> str:
    """Each token one byte, as byte-level tokenizers have it."""
    return bytes(ids).decode(errors="replace")


def by_runs(ids: list[int]) -> str:
    """As tokenizers with a byte fallback have it: a run of bytes that is no UTF-8 is undecoded as a whole."""
    try:
        return bytes(ids).decode()
    except UnicodeDecodeError:
        whole = next(size for size in range(len(ids), -1, -1) if _is_text(bytes(ids[:size])))
        return bytes(ids[:whole]).decode() + "\ufffd" * (len(ids) - whole)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(text=WORDS, runs=st.booleans())
def test_only_whole_characters_come_out_and_all_of_them(text: str, runs: bool) -> None:
    unfolding, said = Detokenizer(by_runs if runs else by_bytes), ""
    for byte in text.encode():
        said += unfolding.push(byte)
        assert text.startswith(said)
    assert said + unfolding.end() == text


@given(text=WORDS)
def test_a_real_tokenizer_is_read_back(text: str) -> None:
    unfolding = Detokenizer(lambda ids: str(TOKENIZER.decode(ids, skip_special_tokens=True)))
    said = [unfolding.push(token) for token in TOKENIZER.encode(text, add_special_tokens=False)]
    assert "".join(said) + unfolding.end() == text


@given(st.lists(st.integers(0, 255), max_size=300))
def test_bytes_that_are_no_text_do_not_pile_up(data: list[int]) -> None:
    lengths = []

    def measured(ids: list[int]) -> str:
        lengths.append(len(ids))
        return by_bytes(ids)

    unfolding = Detokenizer(measured)
    said = "".join(unfolding.push(byte) for byte in data) + unfolding.end()
    assert max(lengths) <= 140
    readable = bytes(data).decode(errors="ignore").replace("\ufffd", "")
    assert len(said.replace("\ufffd", "")) == len(readable) or len(data) > 60


@given(
    text=st.text("abc", max_size=40),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(1, 5), min_size=1),
)
def test_the_text_ends_before_the_first_stop_sequence_however_it_is_cut(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    finder, said, stopped, place = Stops(stops), "", False, 0
    for piece in range(len(text)):
        size = cuts[piece % len(cuts)]
        new, stopped = finder.push(text[place : place + size])
        said, place = said + new, place + size
        if stopped or place >= len(text):
            break
    read = text[:place]
    found = [read.find(stop) for stop in stops if stop in read]
    assert stopped == bool(found)
    if stopped:
        assert said == read[: min(found)]
    else:
        assert said + finder.end() == text


def spoken(text: str, *, stops: list[str]) -> list[TextPiece]:
    """A token a byte, with log-probabilities named after their place."""
    wording = ChoiceText(by_bytes, stops=stops)
    said = []
    for place, byte in enumerate(text.encode()):
        said.append(wording.push(byte, TokenLogprob(str(place), -math.pi, [])))
        if said[-1].stopped:
            return said
    return [*said, wording.end()]


def told(said: list[TextPiece]) -> list[str]:
    return [logprob.token for each in said for logprob in each.logprobs]


def test_a_stop_sequence_over_characters_of_several_tokens_is_found() -> None:
    said = spoken("ab€€.", stops=["€€"])
    assert "".join(each.text for each in said) == "ab"
    assert said[-1].stopped
    assert told(said) == ["0", "1"]


def test_what_looked_like_a_stop_sequence_is_said_after_all() -> None:
    said = spoken("abab", stops=["abac"])
    assert [each.text for each in said] == ["", "", "", "ab", "ab"]
    assert told(said) == ["0", "1", "2", "3"]


@given(text=WORDS, stops=st.lists(st.text("ab é€", min_size=1, max_size=3), max_size=2))
def test_each_token_is_told_once_and_none_behind_the_end(text: str, stops: list[str]) -> None:
    said = spoken(text, stops=stops)
    whole = "".join(each.text for each in said)
    assert text.startswith(whole)
    assert told(said) == [str(place) for place in range(len(told(said)))]
    if not said[-1].stopped:
        assert len(told(said)) == len(text.encode())
    else:
        assert len(told(said)) <= len(whole.encode()) + 3
