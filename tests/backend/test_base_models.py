"""Base models come from RLSD_MODELS, from the folder of models, and from the repository."""

from pathlib import Path
from typing import Any

import pytest

from backend.base_models import PACKAGED, SMALL_MODEL, base_models
from backend.settings import STARTER_MODEL, Settings
from frontend.words import models as words


def settings(folder: Path, listed: dict[str, str | None]) -> Settings:
    given: dict[str, Any] = {"RLSD_MODELS": listed, "RLSD_MODELS_FOLDER": folder}
    return Settings(**given)


def model_in(folder: Path, name: str, *, complete: bool = True) -> str:
    (folder / name).mkdir(parents=True)
    if complete:
        (folder / name / "config.json").write_text("{}")
    return str(folder / name)


def test_without_settings_there_is_the_starter(tmp_path: Path) -> None:
    assert base_models(settings(tmp_path / "none", {})) == {"starter": str(STARTER_MODEL)}


def test_the_starter_stays_beside_others_unless_it_is_listed_as_null(tmp_path: Path) -> None:
    assert list(base_models(settings(tmp_path, {"mine": "/models/mine"}))) == ["mine", "starter"]
    assert base_models(settings(tmp_path, {"mine": "/models/mine", "starter": None})) == {"mine": "/models/mine"}
    assert base_models(settings(tmp_path, {"starter": "/another"})) == {"starter": "/another"}


def test_folders_of_models_are_listed_by_name(tmp_path: Path) -> None:
    small, big = model_in(tmp_path, "small"), model_in(tmp_path, "big")
    assert list(base_models(settings(tmp_path, {"mine": "/mine"})).items())[:3] == [
        ("mine", "/mine"),
        ("big", big),
        ("small", small),
    ]
    assert base_models(settings(tmp_path, {"small": "/other", "big": None})) == {
        "small": "/other",
        "starter": str(STARTER_MODEL),
    }


@pytest.mark.parametrize("name", ["ft:x", ".fetching-1", "a b", "-x"])
def test_what_is_no_model_or_has_no_usable_name_is_passed_over(tmp_path: Path, name: str) -> None:
    model_in(tmp_path, name)
    model_in(tmp_path, "incomplete", complete=False)
    (tmp_path / "file").touch()
    assert list(base_models(settings(tmp_path, {}))) == ["starter"]


def test_the_page_offers_what_the_server_can_fetch() -> None:
    assert {SMALL_MODEL: PACKAGED[SMALL_MODEL].size_mb} == {words.SMALL_MODEL: words.SMALL_MODEL_SIZE_MB}
