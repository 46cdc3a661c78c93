"""Rules on queries: they stand where the tables are, with the border of the project in sight.

The accident they prevent: a query written in a handler that forgets its project, and shows a customer the jobs of
another. The session's own filter (`backend.db.projects`) is the second lock, and does not see raw SQL.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from backend.db.base import Base
from backend.db.models import metadata
from backend.db.projects import ProjectOwned
from tests.rules.test_imports import ALL_MODULES, imported_names, inside

NEEDED = ("sqlalchemy.orm.Session", "sqlalchemy.exc")
"""What a handler may know of SQLAlchemy: the session that it passes on, and the errors that it answers."""
READING = {"execute", "scalar", "scalars", "get", "get_one", "query", "connection", "refresh", "merge"}
"""Methods of a session that send a query."""
ACROSS_PROJECTS = {
    "find_valid_key",  # the project of a caller is known only then
    "projects_of_valid",
    "find_member",
    "count_keys",
    "count_by_state",  # metrics of the server
    "oldest_in_state",
    "oldest_queued",
    "done_checks",  # of a file that was found in its project
}

HANDLERS = [(module, path) for module, path in ALL_MODULES if inside(module, "backend.api")]


def queries(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in READING
            and ast.unparse(node.func.value) == "session"
        ):
            yield f"line {node.lineno}: session.{node.func.attr}"


def test_handlers_build_no_queries() -> None:
    found = [
        f"{module} imports {name}"
        for module, path in HANDLERS
        for name in imported_names(path)
        if inside(name, "sqlalchemy", "psycopg") and not inside(name, *NEEDED, "psycopg.Error")
    ]
    assert not found, "write the query in backend/db, or in the module of its domain, with the project as an argument"


def test_handlers_send_no_queries() -> None:
    found = [f"{module}, {query}" for module, path in HANDLERS for query in queries(path)]
    assert not found, "write the query in backend/db, or in the module of its domain, with the project as an argument"


def test_queries_of_tables_name_the_project_whose_rows_they_return() -> None:
    owned = {mapper.class_.__name__ for mapper in Base.registry.mappers if issubclass(mapper.class_, ProjectOwned)}
    assert metadata.tables
    assert {"Job", "File", "Verifier"} <= owned
    forgetful = [
        f"{module}.{function.name}"
        for module, path in ALL_MODULES
        if inside(module, "backend.db")
        for function in ast.parse(path.read_text()).body
        if isinstance(function, ast.FunctionDef) and selected(function) & owned
        if function.name not in ACROSS_PROJECTS and "project_id ==" not in ast.unparse(function)
    ]
    assert not forgetful, "add `Table.project_id == project`, or name it in ACROSS_PROJECTS"


def selected(function: ast.FunctionDef) -> set[str]:
    """Return the names of the tables that the function selects as a whole or by columns."""
    return {
        name.id
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "select"
        for argument in call.args
        for name in ast.walk(argument)
        if isinstance(name, ast.Name)
    }
