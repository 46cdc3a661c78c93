import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.sandbox.verifiers import body
from worker.sandbox import confine
from worker.sandbox import probe as module
from worker.sandbox.attacks import ATTACKS, Attack
from worker.sandbox.environment import Libraries
from worker.sandbox.pool import Sandbox
from worker.sandbox.probe import probe

ROOT = Path(__file__).parents[3]


@pytest.mark.usefixtures("python_allowed")
def test_the_command_prints_a_report_and_a_sentence():
    run = subprocess.run(
        [sys.executable, "-m", "worker.sandbox.probe"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stdout
    *lines, sentence = run.stdout.splitlines()
    report = json.loads("\n".join(lines))
    assert report["held"] is True
    assert len(report["attacks"]) == len(ATTACKS) + 1
    assert sentence == report["sentence"]
    assert "attacks were blocked" in sentence


@pytest.mark.usefixtures("python_allowed")
def test_an_attack_that_succeeds_is_named_and_fails_the_probe(monkeypatch):
    lost = Attack(name="get a point", layers=(), source=body("return 1"))
    monkeypatch.setattr(module, "ATTACKS", (*ATTACKS[:2], lost))
    report = probe()
    assert not report.held
    assert "get a point succeeded" in report.sentence


def test_level_0_tries_nothing_and_says_so():
    report = probe(max_level=0)
    assert (report.level, report.attacks) == (0, ())
    assert "refused" in report.sentence


@pytest.mark.usefixtures("python_allowed")
def test_a_folder_of_libraries_is_importable_and_hashed_and_named_in_the_identity(tmp_path):
    from tests.worker.sandbox.verifiers import python, sample

    (tmp_path / "ours.py").write_text("VALUE = 0.5\n")
    libraries = Libraries(folder=tmp_path, preload=("ours",))
    with Sandbox(libraries=libraries) as own_sandbox:
        spec = python(body("return __import__('ours').VALUE"))
        assert own_sandbox.grade(spec, [sample()])[0].score == 0.5
        identity = own_sandbox.identity()
    before = libraries.digest()
    abi = confine.landlock_abi()
    assert identity == {
        "level": 2 if abi else 1,
        "landlock_abi": abi,
        "python": platform.python_version(),
        "libraries": before,
    }
    assert json.loads(json.dumps(identity)) == identity
    assert Libraries(folder=tmp_path).digest() == before
    (tmp_path / "ours.py").write_text("VALUE = 0.6\n")
    assert libraries.digest() != before
    assert Libraries().digest() is None
