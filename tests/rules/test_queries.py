"""Rules on queries: where they stand, and that the border of a project is in sight in each.

The accident they prevent: a query that forgets its project, and shows a customer the jobs of another. The session's own
filter (`backend.db.projects`) is the second lock, and does not see raw SQL. Workers act on ids that the API has checked
before it stored or sent them, so the rules end at `worker`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.db.base import Base
from backend.db.models import metadata
from backend.db.projects import ProjectOwned
from tests.rules.test_imports import ALL_MODULES, imported_names, inside

Function = ast.FunctionDef | ast.AsyncFunctionDef

NEEDED = ("sqlalchemy.orm.Session", "sqlalchemy.exc")
"""What a handler may know of SQLAlchemy: the session that it passes on, and the errors that it answers."""
BUILDING = {"delete", "exists", "insert", "select", "text", "update"}
"""Functions of SQLAlchemy that build a statement."""
JOINING = {"join", "outerjoin", "select_from"}
FINDING = {"get", "get_one"}
"""Methods of a session that build one themselves."""
SENDING = {"execute", "query", "scalar", "scalars", *FINDING}
CHANGING = {"add", "add_all", "connection", "delete", "flush", "merge", "refresh"}
SHARED = {"Blob", "BlobChunk", "IdempotentRequest", "Project", "WorkerRecord"}
"""Tables whose rows belong to no project: found by content or by a hash of the caller, or those of the server."""

DOMAINS = {
    "backend.blobs": "bytes that projects share, under locks of their own",
    "backend.checks": "the states of a check, between the API and a worker",
    "backend.webhooks": "the states of a delivery",
    "backend.workers": "the register of workers",
    "backend.jobs": "the states of a job, what its request is checked against, and scores in the words of verifiers",
    "backend.datasets": "rows by the thousand: read, copied and compared inside the database",
    "backend.stack": "the lock of the first start",
}
"""Where statements are built besides `backend.db`: each is a step of a transaction that this domain owns."""

ACROSS_PROJECTS = {
    # who calls, and so the project, is known only afterwards
    "backend.db.keys.find_member",
    "backend.db.keys.find_valid_key",
    "backend.db.keys.projects_of_valid",
    "backend.db.keys.record_use",
    # commands on the server, and its figures
    "backend.db.checks.oldest_queued",
    "backend.db.jobs.count_by_state",
    "backend.db.training.newest_metrics",
    "backend.db.jobs.oldest_in_state",
    "backend.db.keys.all_keys",
    "backend.db.keys.count_keys",
    "backend.db.keys.find_key",
    "backend.db.keys.revoke_named",
    # parts of an upload of the project, as `_require_whole` has checked
    "backend.datasets.reading.uploads._joined",
    # regular work for all projects
    "backend.checks.forget_old",
    "backend.checks.nudge_lost",
    "backend.datasets.reading.background.give_up_lost",
    "backend.datasets.reading.uploads.forget_expired",
    "backend.jobs.control.resend_queued",
    "backend.jobs.control.sweep",
    # workers and child processes, by an id that the API has put into a message
    "backend.checks._carry_out",
    "backend.checks._finish",
    "backend.checks._store_progress",
    "backend.datasets.reading.background._fail",
    "backend.datasets.reading.child._read",
    "backend.datasets.reading.store.discard",
    "backend.datasets.rows.rows.load_rows",
    "backend.jobs.lease.Lease.held",
    "backend.jobs.lease.Lease.renew",
    "backend.jobs.lease.claim",
    "backend.webhooks.deliver",
}
"""Functions that query rows of projects without naming one."""

HANDLERS = [(module, path) for module, path in ALL_MODULES if inside(module, "backend.api")]
TABLES = {mapper.class_.__name__ for mapper in Base.registry.mappers} - SHARED
OWNED = {mapper.class_.__name__ for mapper in Base.registry.mappers if issubclass(mapper.class_, ProjectOwned)}
KEYS = {"id"} | {column.name for table in metadata.tables.values() for column in table.columns if column.foreign_keys}


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    """Yield the functions and methods of a module; a nested function is a part of the one around it."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{each.name}", each) for each in node.body if isinstance(each, Function))
        elif isinstance(node, Function):
            yield node.name, node


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def calls_of_methods(tree: ast.AST, methods: set[str]) -> Iterator[tuple[str, ast.Call]]:
    """Yield the last name of the receiver and the call."""
    for call in calls(tree):
        if isinstance(call.func, ast.Attribute) and call.func.attr in methods:
            yield ast.unparse(call.func.value).rpartition(".")[2], call


def calls_of_session(tree: ast.AST, methods: set[str]) -> Iterator[ast.Call]:
    yield from (call for receiver, call in calls_of_methods(tree, methods) if receiver.endswith("session"))


def tables_of(function: ast.AST) -> set[str]:
    """Return the tables that the function's statements name as a whole or by columns."""
    naming = [
        *(call for call in calls(function) if ast.unparse(call.func) in BUILDING),
        *(call for _, call in calls_of_methods(function, JOINING)),
        *calls_of_session(function, FINDING),
    ]
    arguments = [node for call in naming for argument in call.args for node in ast.walk(argument)]
    return {node.id for node in arguments if isinstance(node, ast.Name)} & TABLES


def keys_got(function: ast.AST) -> Iterator[ast.expr]:
    """Yield the ids by which the session itself finds rows of projects."""
    for call in calls_of_session(function, FINDING):
        if ast.unparse(call.args[0]) in TABLES:
            yield call.args[1].elts[0] if isinstance(call.args[1], ast.Tuple) else call.args[1]


def keys_compared(function: ast.AST) -> Iterator[ast.expr]:
    """Yield the ids by which statements find rows."""
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr in KEYS:
            yield node.comparators[0]
    for call in calls_of_session(function, {"execute"}):
        if len(call.args) > 1 and isinstance(call.args[1], ast.Dict):
            named = zip(call.args[1].keys, call.args[1].values, strict=True)
            yield from (value for key, value in named if isinstance(key, ast.Constant) and key.value in KEYS)


def lacks_project(function: ast.AST) -> bool:
    """Return whether the function queries rows of projects without naming one or starting from a row found in one."""
    tables = tables_of(function)
    if not tables or re.search(r"\bproject_id ?=", ast.unparse(function)):
        return False
    if any(isinstance(key, ast.Name) for key in keys_got(function)):
        return True
    keys = [*keys_got(function), *keys_compared(function)]
    of_found_row = any(
        isinstance(key, ast.Attribute) and ast.unparse(key.value) not in TABLES | {"self"} for key in keys
    )
    return not of_found_row and (bool(tables & OWNED) or any(isinstance(key, ast.Name) for key in keys))


def test_handlers_build_no_queries() -> None:
    found = [
        f"{module} imports {name}"
        for module, path in HANDLERS
        for name in imported_names(path)
        if inside(name, "sqlalchemy", "psycopg") and not inside(name, *NEEDED, "psycopg.Error")
    ]
    assert not found, "write the query in backend/db, or in the module of its domain, with the project as an argument"


def test_handlers_neither_open_sessions_nor_query_and_change_rows_through_one() -> None:
    found = [
        f"{module}, line {call.lineno}: {ast.unparse(call)}"
        for module, path in HANDLERS
        for call in [
            *calls_of_session(ast.parse(path.read_text()), SENDING | CHANGING),
            *(call for call in calls(ast.parse(path.read_text())) if ast.unparse(call.func) == "Session"),
        ]
    ]
    assert not found, "call a function of backend/db or of the domain"


def test_statements_are_built_in_db_or_in_a_domain_that_says_why() -> None:
    building = {
        module
        for module, path in ALL_MODULES
        if inside(module, "backend") and not inside(module, "backend.db", "backend.api")
        if any(inside(name, "sqlalchemy") and name.rpartition(".")[2] in BUILDING for name in imported_names(path))
        or any(calls_of_session(ast.parse(path.read_text()), FINDING))
    }
    assert not [module for module in building if not inside(module, *DOMAINS)], "write it in backend/db"
    assert not [domain for domain in DOMAINS if not any(inside(module, domain) for module in building)], "no longer so"


def test_each_query_names_the_project_or_starts_from_a_row_found_in_it() -> None:
    forgetful = {
        f"{module}.{name}"
        for module, path in ALL_MODULES
        if inside(module, "backend")
        for name, function in functions(path)
        if lacks_project(function)
    }
    assert {"Job", "File", "Verifier"} <= OWNED
    assert not forgetful - ACROSS_PROJECTS, "add `Table.project_id == project`, take the row, or say why not"
    assert not ACROSS_PROJECTS - forgetful, "no longer needs to be listed"


@pytest.mark.parametrize(
    ("statement", "lacking"),
    [
        ("session.get(Job, job_id)", True),
        ("self._session.get_one(File, file_id)", True),
        ("session.execute(update(Job).where(Job.id == job_id))", True),
        ("session.execute(delete(Step).where(Step.job_id == job_id))", True),
        ("select(DatasetRow.normal).where(DatasetRow.file_id == file_id)", True),
        ("select(func.count()).select_from(Job).where(Job.state == state)", True),
        ("select(Job).where(Job.id == job_id, Job.project_id == project)", False),
        ("select(Step).where(Step.job_id == job.id)", False),
        ("session.get(Rollout, (job.id, step, number))", False),
        ("select(ComparedJob, Job).join(Job, Job.id == ComparedJob.job_id)", True),
        ("session.get_one(Blob, sha256)", False),
        ("insert(ChatUsage).values(project_id=project, day=day)", False),
    ],
)
def test_the_rule_sees(statement: str, lacking: bool) -> None:
    assert lacks_project(ast.parse(statement)) is lacking
