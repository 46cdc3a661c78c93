"""Counting tokens takes a tokenizer and nothing of torch, and a bounded number of rows."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from backend.datasets.reading.store import store_dataset
from backend.db.engine import transaction
from backend.db.projects import DEFAULT_PROJECT
from backend.errors import AppError
from backend.settings import settings
from backend.stack.embedded import Services
from worker.checks import token_lengths


def stored(*questions: str) -> str:
    content = "".join(json.dumps({"question": each, "answer": "yes"}) + "\n" for each in questions).encode()
    with transaction() as session:
        return store_dataset(
            session, io.BytesIO(content), project=DEFAULT_PROJECT, filename="rows.jsonl", mapping=None
        ).id


def test_torch_is_not_loaded_for_it() -> None:
    code = (
        "import sys; from worker.checks.token_lengths import _tokenizer, _token_counts\n"
        "tokenizer = _tokenizer('starter'); "
        "tokenizer.apply_chat_template([{'role': 'user', 'content': 'q'}], tokenize=False); "
        "print(_token_counts(tokenizer, [['a b', None]]), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    counted, _, loaded = done.stdout.strip().rpartition(" ")
    assert loaded == "False"
    assert counted.startswith("[[")


def test_of_a_long_file_rows_all_over_it_are_looked_at(
    clean_database: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_lengths, "MAX_ROWS", 10)
    file_id = stored(*("q " * (n + 1) for n in range(95)))
    reports: list[tuple[int, int, str]] = []
    found = token_lengths.token_lengths({"file_id": file_id, "model": "starter"}, lambda *each: reports.append(each))
    assert found["checked"] == 10
    assert reports[-1] == (10, 10, "rows")
    assert found["question"]["max"] - found["question"]["min"] >= 90
    assert (found["prompts_above"], found["completions_above"], found["solution"]) == (None, None, None)


def test_a_model_without_a_tokenizer_is_named_in_the_refusal(
    clean_database: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RLSD_MODELS", json.dumps({"bare": str(tmp_path)}))
    settings.cache_clear()
    try:
        with pytest.raises(AppError, match="The tokenizer of 'bare' could not be loaded") as refusal:
            token_lengths.token_lengths({"file_id": stored("q"), "model": "bare"}, lambda *_: None)
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert refusal.value.param == "model"
    assert str(tmp_path) not in refusal.value.message
