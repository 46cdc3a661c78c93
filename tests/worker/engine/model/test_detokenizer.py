"""Tokens become whole characters, however they divide them."""

from hypothesis import given
from hypothesis import strategies as st

from tests.worker.engine.tiny import tiny_tokenizer
from worker.engine.model.detokenizer import Detokenizer

WORDS = st.text(st.sampled_from("ab é€😀\ufffd\n"), max_size=30)
TOKENIZER = tiny_tokenizer()


def by_bytes(ids: list[int]) -> str:
    """Decode like a byte-level tokenizer, one byte per token."""
    return bytes(ids).decode(errors="replace")


def by_runs(ids: list[int]) -> str:
    """Decode like tokenizers with a byte fallback: a run of bytes that is not UTF-8 stays undecoded as a whole."""
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
    detokenizer, emitted = Detokenizer(by_runs if runs else by_bytes), ""
    for byte in text.encode():
        emitted += detokenizer.push(byte)
        assert text.startswith(emitted)
    assert emitted + detokenizer.end() == text


@given(text=WORDS)
def test_a_real_tokenizer_is_read_back(text: str) -> None:
    detokenizer = Detokenizer(lambda ids: str(TOKENIZER.decode(ids, skip_special_tokens=True)))
    emitted = [detokenizer.push(token) for token in TOKENIZER.encode(text, add_special_tokens=False)]
    assert "".join(emitted) + detokenizer.end() == text


@given(st.lists(st.integers(0, 255), max_size=300))
def test_bytes_that_are_no_text_do_not_pile_up(data: list[int]) -> None:
    lengths = []

    def measured(ids: list[int]) -> str:
        lengths.append(len(ids))
        return by_bytes(ids)

    detokenizer = Detokenizer(measured)
    emitted = "".join(detokenizer.push(byte) for byte in data) + detokenizer.end()
    assert max(lengths) <= 140
    readable = bytes(data).decode(errors="ignore").replace("\ufffd", "")
    assert len(emitted.replace("\ufffd", "")) == len(readable) or len(data) > 60
