"""Libraries for verifiers: available inside, unlike torch, and no row affects another through them."""

import subprocess
import sys
import time

import pytest

from backend.errors import AppError
from backend.verifiers import libraries
from tests.worker.sandbox.verifiers import body, outcomes, python, sample
from worker.sandbox import environment
from worker.sandbox.environment import STANDARD_LIBRARY, Libraries, installed_libraries, preload_of
from worker.sandbox.policy import SandboxLimits
from worker.sandbox.pool import Sandbox

pytestmark = pytest.mark.usefixtures("python_allowed")

USES = {
    "math_verify": ("from math_verify import parse, verify", "verify(parse('$1/2$'), parse('0.5'))"),
    "sympy": ("import sympy", "sympy.simplify('x + x') == 2 * sympy.Symbol('x')"),
    "numpy": ("import numpy as np", "np.linalg.norm(np.array([0.6, 0.8]))"),
    "rapidfuzz": ("from rapidfuzz import fuzz", "fuzz.ratio('abc', 'abc') / 100"),
    "jsonschema": ("import jsonschema", "jsonschema.Draft202012Validator({'type': 'integer'}).is_valid(1)"),
    "dateutil": ("from dateutil.parser import parse", "parse('3 May 2021').month == 5"),
    "sqlite3": ("import sqlite3", "sqlite3.connect(':memory:').execute('select 1').fetchone()[0]"),
}


@pytest.mark.parametrize("name", USES)
def test_a_verifier_can_use(sandbox, name):
    head, expression = USES[name]
    (record,) = sandbox.grade(python(head + "\n" + body(f"return float({expression})")), [sample()])
    assert (record.score, record.reason) == (pytest.approx(1.0), None)


@pytest.mark.parametrize("name", ["torch", "transformers", "psycopg", "backend", "worker.engine"])
def test_nothing_of_the_owners_environment_can_be_imported(sandbox, name):
    (record,) = sandbox.grade(python(body(f"__import__({name!r})\nreturn 1")), [sample()])
    assert record.status == "error"
    assert "Error" in record.reason


def test_numpys_numbers_are_scores(sandbox):
    for value in ("np.float32(0.5)", "np.float64(0.5)", "np.int64(1) / 2", "np.bool_(True) * 0.5"):
        (record,) = sandbox.grade(python("import numpy as np\n" + body(f"return {value}")), [sample()])
        assert record.score == 0.5


def test_a_complex_number_of_numpy_is_no_score(sandbox):
    (record,) = sandbox.grade(python("import numpy as np\n" + body("return np.complex64(0.5)")), [sample()])
    assert record.reason == "the verifier returned a value of type complex64, not a number"


def test_random_numbers_of_numpy_follow_the_row(sandbox):
    spec = python("import numpy as np\n" + body("return np.random.random()"))
    scores = [record.score for record in sandbox.grade(spec, [sample("a"), sample("b"), sample("a")])]
    assert scores[0] == scores[2] != scores[1]
    sandbox.close()
    assert sandbox.grade(spec, [sample("a")])[0].score == scores[0]


def test_a_library_that_a_row_poisons_is_whole_for_the_next(sandbox):
    spec = python(
        "import math_verify, math_verify.grader\n"
        + body("if item['x']:\n    math_verify.verify = lambda *a, **k: True\nreturn math_verify.verify([1], [2])")
    )
    records = sandbox.grade(spec, [sample(x=1), sample(x=0), sample(x=0)])
    assert [record.score for record in records] == [1.0, 0.0, 0.0]


def test_a_limit_of_memory_is_the_verifiers_own_whatever_is_loaded(sandbox):
    """256 MiB, with numpy and sympy loaded."""
    head = "import numpy, sympy\n"
    kept, refused = (head + body(f"return len(bytes({mib} * 2**20)) > 0") for mib in (150, 300))
    assert outcomes(sandbox.grade(python(kept), [sample()])) == [(1.0, "ok")]
    assert outcomes(sandbox.grade(python(refused), [sample()])) == [(None, "error")]


def test_after_a_crash_the_next_call_is_served_within_a_second(sandbox):
    crash = python("import sympy, ctypes\n" + body("if item['x']:\n    ctypes.string_at(0)\nreturn 1"))
    sandbox.grade(crash, [sample(x=0)])
    assert sandbox.grade(crash, [sample(x=1)])[0].status == "error"
    start = time.monotonic()
    assert sandbox.grade(crash, [sample(x=0)])[0].score == 1.0
    assert time.monotonic() - start < 3.0  # a loaded machine included


def test_the_least_recently_used_server_is_evicted():
    with Sandbox(SandboxLimits(row_timeout_s=5.0)) as own_sandbox:
        for head, expression in USES.values():
            assert (
                own_sandbox.grade(python(head + "\n" + body(f"return float({expression})")), [sample()])[0].status
                == "ok"
            )
        assert 1 < len(own_sandbox._servers) <= 4


def test_without_libraries_an_import_is_an_error_that_says_so():
    spec = python("import numpy\n" + body("return 1"))
    with Sandbox(SandboxLimits(row_timeout_s=1.0), libraries=STANDARD_LIBRARY) as own_sandbox:
        (record,) = own_sandbox.grade(spec, [sample()])
        assert own_sandbox.identity()["libraries"] is None
    assert "No module named 'numpy'" in record.reason


def test_their_hash_follows_names_and_contents(tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    first = Libraries(folder=tmp_path).digest()
    (tmp_path / "b").mkdir()
    moved = tmp_path / "b" / "a.py"
    (tmp_path / "a.py").rename(moved)
    assert Libraries(folder=tmp_path).digest() != first
    assert len(installed_libraries().digest()) == 64


def test_a_list_that_cannot_be_installed_gives_the_reason_and_leaves_nothing(monkeypatch, tmp_path):
    wrong = tmp_path / "libraries.txt"
    wrong.write_text("./no-such-folder-of-this-name\n")
    monkeypatch.setattr(libraries, "LIST", wrong)
    monkeypatch.setattr(libraries, "folder", lambda: tmp_path / "share" / "made")
    with pytest.raises(AppError, match="no-such-folder") as caught:
        environment.install()
    assert caught.value.code == "libraries_missing"
    assert [path.name for path in (tmp_path / "share").iterdir()] == ["lock"]


def test_what_is_there_already_is_not_installed_again():
    start = time.monotonic()
    run = subprocess.run([sys.executable, "-m", "worker.sandbox.environment"], capture_output=True, text=True)
    assert run.stdout.strip() == f"Libraries for verifiers: {libraries.folder()}"
    assert time.monotonic() - start < 10


def test_modules_to_warm_are_those_of_the_libraries_used():
    assert preload_of([]) == ()
    assert preload_of(["numpy", "regex"]) == ("numpy", "numpy.linalg", "numpy.random", "regex")


ATTACKS = {
    "numpy reads a file": "import numpy as np\n" + body("return np.fromfile('/etc/passwd', dtype='u1').sum()"),
    "numpy maps a file": "import numpy as np\n" + body("return np.memmap('/etc/passwd', mode='r').sum()"),
    "numpy saves a file": "import numpy as np\n" + body("np.ones(1).tofile('/tmp/rlsd-hostile')\nreturn 1"),
    "numpy fills the memory": "import numpy as np\n" + body("return np.ones(2**34).sum()"),
    "sympy evaluates text": "import sympy\n" + body("return sympy.sympify('__import__(\"os\").fork()')"),
    "sympy never ends": "import sympy\n" + body("return sympy.factorint(2**2203 - 2**607 + 1) is None"),
    "math_verify never ends": "import math_verify\n" + body("return len(math_verify.parse('$9^{9^{9^{9^9}}}!$')) > 9"),
    "jsonschema fetches": "import jsonschema\n" + body("jsonschema.validate(1, {'$ref': 'http://[::1]/'})\nreturn 1"),
    "nltk downloads": "import nltk\n" + body("return nltk.download('wordnet', raise_on_error=True)"),
    "dateutil reads a zone": "from dateutil import tz\n" + body("return tz.tzfile('/etc/passwd') is not None"),
    "the installer": "import sys\n" + body("sys.modules.pop('pip', None)\n__import__('pip')\nreturn 1"),
    "writing to the libraries": body("import numpy, os\nreturn os.open(numpy.__file__, os.O_RDWR) > 0"),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_libraries_open_no_way_out(sandbox, attack):
    honest = python(body("return item['honest']"))
    before = libraries.folder().stat().st_mtime_ns
    (record,) = sandbox.grade(python(attack), [sample()])
    assert not record.score, record
    assert record.reason or record.status == "ok"
    assert sandbox.grade(honest, [sample(honest=0.25)])[0].score == 0.25
    assert libraries.folder().stat().st_mtime_ns == before
