"""One entry is enough to add a setting."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backend.generators.files import ROOT
from frontend.words.job_settings import sections_of

MADE_UP = """
    made_up_steps: Annotated[
        int,
        About(
            "Made-up length",
            symbol="m",
            unit="tokens",
            zero="none",
            why="Nothing is made up.",
            part=Part.FADING,
            when=When("normalise", True),
        ),
    ] = Field(7, ge=3, le=9, description="Steps that exist in a test only.")
"""
BEFORE = '\n    @field_validator("eps_w", mode="before")\n'
"""Where the section `Credit` of the settings has its last field."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code in which a setting was added, and `make generated` run."""
    folder = tmp_path_factory.mktemp("tree")
    for package in ("backend", "worker", "frontend"):
        ignored = shutil.ignore_patterns("__pycache__", "node_modules", "*.wasm", "*.js")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    (folder / "docs").mkdir()
    for page in (ROOT / "docs").glob("*.md"):
        shutil.copy(page, folder / "docs")
    section = folder / "backend" / "core" / "settings" / "credit.py"
    assert section.read_text().count(BEFORE) == 1
    section.write_text(section.read_text().replace(BEFORE, MADE_UP + BEFORE))
    run(folder, "from backend.generators.__main__ import main; main()")
    return folder


def run(folder: Path, code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    ).stdout


def test_a_setting_that_was_added_is_in_the_schema_of_the_api(tree: Path) -> None:
    code = "import json; from backend.app import app; print(json.dumps(app.openapi()['components']['schemas']))"
    schema = json.loads(run(tree, code))["RlsdSettings"]["properties"]
    assert schema["made_up_steps"] == {
        "default": 7,
        "description": "Steps that exist in a test only. Unit: tokens.",
        "maximum": 9,
        "minimum": 3,
        "title": "Made Up Steps",
        "type": "integer",
        "x-symbol": "m",
        "x-unit": "tokens",
        "x-zero": "none",
    }
    reading = {name for name, method in schema["method"]["x-methods"].items() if "made_up_steps" in method["reads"]}
    assert reading == {"rlsd", "rlsd_template", "cepo", "rlcsd"}


def test_a_setting_that_was_added_is_checked_and_reaches_the_engine_and_its_fingerprint(tree: Path) -> None:
    code = """
from backend.jobs.request import Reinforcement
from backend.jobs.resolve import resolve_settings
from worker.engine.training.checkpoint import fingerprint
from worker.training.prepare import engine_settings
request = Reinforcement.model_validate({"grader": {}, "x_rlsd": {"made_up_steps": 8}})
settings = engine_settings(resolve_settings(request, row_count=100), seed=1)
print(settings.made_up_steps, fingerprint(settings, tasks=[], held_out=[])["settings"]["made_up_steps"])
try:
    resolve_settings(request.model_copy(update={"x_rlsd": {"made_up_steps": 2}}), row_count=100)
except Exception as error:
    print(error)
"""
    values, refusal = run(tree, code).splitlines()
    assert values == "8 8"
    assert "x_rlsd.made_up_steps: Input should be greater than or equal to 3" in refusal


def test_a_setting_that_was_added_is_in_the_form(tree: Path) -> None:
    sections = sections_of(json.loads((tree / "frontend" / "words" / "job_settings.json").read_text()))
    [setting] = [each for each in sections["Credit assignment"] if each.name == "made_up_steps"]
    assert (setting.title, setting.kind, setting.why) == (
        "Made-up length m (tokens; 0: none)",
        "whole",
        "Nothing is made up.",
    )
    assert setting.is_shown({"normalise": True})
    assert not setting.is_shown({})


def test_a_setting_that_was_added_is_in_the_documentation(tree: Path) -> None:
    lines = (tree / "docs" / "settings.md").read_text().splitlines()
    assert (
        "| `made_up_steps` (m) | whole number of tokens, 3 to 9 | 7 | Steps that exist in a test only. | Nothing is "
        "made up. | `rlsd`, `rlsd_template`, `cepo`, `rlcsd` |"
    ) in lines
    assert "`made_up_steps`" in (tree / "docs" / "methods.md").read_text()
