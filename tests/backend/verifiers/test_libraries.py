import ast

import pytest

from backend.errors import AppError
from backend.verifiers import libraries
from backend.verifiers.specs import parse_spec

IMPORTS_NUMPY = {"type": "python", "source": "import numpy as np\n\ndef grade(item, output_text):\n    return np.pi\n"}


def refused(obj):
    with pytest.raises(AppError) as caught:
        parse_spec(obj)
    return caught.value


def test_what_the_libraries_offer_can_be_imported():
    for name in libraries.MODULES:
        libraries.require_importable(ast.parse(f"import {name}"))


@pytest.mark.parametrize("source", ["import torch", "from transformers import pipeline", "def f():\n    import pandas"])
def test_what_the_sandbox_lacks_is_refused_when_saved(source):
    error = refused({"type": "python", "source": f"{source}\ndef grade(item, output_text): return 1\n"})
    assert error.param == "grader.source"
    assert "cannot be imported in the sandbox" in error.message
    assert "numpy" in error.message


@pytest.mark.parametrize(
    ("source", "name"), [("from . import words", "'.'"), ("from ..utils.text import f", "'..utils.")]
)
def test_a_module_beside_the_source_is_refused_when_saved(source, name):
    error = refused({"type": "python", "source": f"{source}\ndef grade(item, output_text): return 1\n"})
    assert error.message.startswith(f"'grader.source': Line 1: {name}")
    assert "cannot be imported in the sandbox" in error.message


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import requests", "requests"),
        ("from openai import OpenAI", "openai"),
        ("import urllib.request\nurllib.request.urlopen(x)", "urllib.request.urlopen"),
        ("from urllib import request as r\nr.urlopen(x)", "urllib.request.urlopen"),
        ("from http.client import HTTPSConnection", "http.client.HTTPSConnection"),
    ],
)
def test_what_needs_the_network_is_refused_by_name_with_the_way_that_works(source, name):
    with pytest.raises(AppError) as refusal:
        libraries.require_importable(ast.parse(source))
    assert f"'{name}' cannot be used in the sandbox, because it needs the network" in refusal.value.message
    assert "`score_model`" in refusal.value.message


@pytest.mark.parametrize(
    ("use", "name"),
    [
        ("import os\ntry:\n    y = os.system(x)\nexcept Exception:\n    y = 0", "os.system"),
        (
            "import urllib.request\ntry:\n    urllib.request.urlopen(x)\nexcept OSError:\n    y = 0",
            "urllib.request.urlopen",
        ),
        ("import tempfile\ntry:\n    tempfile.mkstemp()\nexcept OSError:\n    y = 0", "tempfile.mkstemp"),
        ("from tempfile import NamedTemporaryFile", "tempfile.NamedTemporaryFile"),
    ],
)
def test_a_refusal_that_the_verifier_would_catch_and_score_is_told_when_it_is_saved(use, name):
    with pytest.raises(AppError, match=f"'{name}' cannot be used in the sandbox"):
        libraries.require_importable(ast.parse(use))


def test_an_import_that_may_fail_is_left_to_the_verifier():
    source = "try:\n    import torch\nexcept ImportError:\n    torch = None\ndef grade(item, output_text): return 1\n"
    parse_spec({"type": "python", "source": source})


@pytest.mark.parametrize(
    ("grader", "param"),
    [
        (IMPORTS_NUMPY, "grader.source"),
        ({"type": "math"}, "grader.type"),
        ({"type": "json_schema", "schema": {}}, "grader.type"),
        ({"type": "text_similarity", "input": "a", "reference": "b", "evaluation_metric": "bleu"}, "grader.type"),
    ],
)
def test_missing_libraries_are_reported_when_saved(monkeypatch, tmp_path, grader, param):
    monkeypatch.setattr(libraries, "folder", lambda: tmp_path / "none")
    error = refused(grader)
    assert error.param == param
    assert "not installed" in error.message
    assert "python -m worker.sandbox.environment" in error.message


def test_the_folder_follows_from_the_list(monkeypatch, tmp_path):
    before = libraries.folder()
    changed = tmp_path / "libraries.txt"
    changed.write_text(libraries.LIST.read_text() + "another==1.0\n")
    monkeypatch.setattr(libraries, "LIST", changed)
    assert libraries.folder() != before


def test_every_line_of_the_list_is_a_version():
    lines = libraries.LIST.read_text().split()
    assert all(line.count("==") == 1 for line in lines)
    assert len({line.partition("==")[0] for line in lines}) == len(lines)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import subprocess", "subprocess"),
        ("from subprocess import run", "subprocess"),
        ("import subprocess as run", "subprocess"),
        ("import multiprocessing.pool", "multiprocessing"),
        ("from concurrent import futures", "concurrent.futures"),
        ("import threading as t\nt.Thread(target=print)", "threading.Thread"),
        ("import os\nos.fork()", "os.fork"),
        ("from os import system", "os.system"),
        ("import asyncio\nasyncio.get_event_loop().run_in_executor(None, print)", "run_in_executor"),
        ("def grade(item, output_text):\n    import multiprocessing", "multiprocessing"),
        ("from multiprocessing import Pool", "multiprocessing"),
        ("import concurrent.futures", "concurrent.futures"),
        ("from concurrent.futures import ThreadPoolExecutor", "concurrent.futures"),
        ("import threading\nthreading.Thread(target=print)", "threading.Thread"),
        ("from threading import Timer", "threading.Timer"),
        ("import asyncio\nasyncio.to_thread(print)", "asyncio.to_thread"),
    ],
)
def test_what_starts_a_thread_or_a_process_is_refused_by_name_with_the_way_that_works(source, name):
    with pytest.raises(AppError) as refusal:
        libraries.require_importable(ast.parse(source))
    assert f"'{name}' cannot be used in the sandbox, because it starts" in refusal.value.message
    assert "Line " in refusal.value.message


@pytest.mark.parametrize(
    "source",
    [
        "import threading\nlock = threading.Lock()",
        "import asyncio\nasyncio.run(x())",
        "import urllib.parse\nurllib.parse.urlparse(x)",
        "try:\n    import subprocess\nexcept ImportError:\n    pass",
    ],
)
def test_what_works_there_is_not_refused(source):
    libraries.require_importable(ast.parse(source))


@pytest.mark.parametrize(
    ("source", "asks"),
    [
        ("import model_code", True),
        ("from model_code import Program", True),
        ("def f():\n    import model_code as m", True),
        ("import json", False),
        ("model_code = 1", False),
    ],
)
def test_a_verifier_that_imports_model_code_may_and_gets_its_processes(source, asks):
    tree = ast.parse(source)
    libraries.require_importable(tree)
    assert libraries.imports_model_code(tree) is asks
    whole = f"{source}\ndef grade(item, output_text): return 1\n"
    assert parse_spec({"type": "python", "source": whole}).runs_model_code is asks


@pytest.mark.parametrize(
    "head",
    [
        "from swift.plugin import ORM, orms",
        "from swift.rewards import AsyncORM, ORM, orms\nfrom swift.utils import get_logger",
        "from swift.plugin.orm import ORM",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from swift.llm import InferRequest",
        "if __name__ == '__main__':\n    import torch, subprocess",
    ],
)
def test_what_the_sandbox_stands_in_for_or_never_runs_may_be_imported(head):
    parse_spec({"type": "python", "source": f"{head}\ndef grade(item, output_text): return 1\n"})


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ("from swift.llm import PtEngine", "'swift.llm'"),
        ("from swift.plugin import ORM, PRM", "'swift.plugin.PRM'"),
        ("import swift.trainers", "'swift.trainers'"),
    ],
)
def test_of_ms_swift_only_what_a_reward_plugin_needs_is_there(head, name):
    error = refused({"type": "python", "source": f"{head}\ndef grade(item, output_text): return 1\n"})
    assert name in error.message
    assert "of ms-swift ORM, AsyncORM, orms" in error.message
