"""Access rights: every route with every kind of caller; resources of other projects do not exist."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from backend.app import app
from backend.datasets.versions.filters import SolveRate
from backend.datasets.versions.selection import left_out
from backend.db.base import utc_now
from backend.db.blobs import Blob
from backend.db.engine import transaction
from backend.db.files import File
from backend.db.keys import Role, create_key
from backend.db.projects import Project, _filter_by_project
from backend.errors import AppError
from backend.settings import settings
from tests.service.conftest import PLAIN, Api, answered, refused
from tests.service.project_resources import ROW, ProjectResources
from tests.service.rights_table import FOREIGN_REFERENCES, ROUTES, ForeignReference
from tests.service.test_api_auth import OPEN

NO_MORE = ("revoked", "expired")
ROLES = {"viewer": Role.VIEWER, "editor": Role.EDITOR, "admin": Role.ADMIN}
OTHER_PROJECT = "proj-other"


@dataclass(frozen=True, slots=True)
class Callers:
    """A client for each kind of key; `stranger` is the admin of another project."""

    viewer: httpx.Client
    editor: httpx.Client
    admin: httpx.Client
    stranger: httpx.Client
    expired: httpx.Client
    revoked: httpx.Client


@pytest.fixture
def callers(api: Api) -> Iterator[Callers]:
    past = utc_now() - timedelta(seconds=1)
    with transaction() as session:
        session.add(Project(id=OTHER_PROJECT, name="other", created_at=utc_now(), quotas={}))
        session.flush()
        made: dict[str, tuple[Any, str]] = {
            "viewer": create_key(session, name="viewer", role=Role.VIEWER),
            "editor": create_key(session, name="editor", role=Role.EDITOR),
            "admin": create_key(session, name="admin", role=Role.ADMIN),
            "stranger": create_key(session, name="stranger", role=Role.ADMIN, project=OTHER_PROJECT),
            "expired": create_key(session, name="expired", expires_at=past),
            "revoked": create_key(session, name="revoked"),
        }
        made["revoked"][0].revoked_at = past
    with ExitStack() as opened:

        def client(name: str) -> httpx.Client:
            headers = {"authorization": f"Bearer {made[name][1]}"}
            return opened.enter_context(httpx.Client(base_url=api.url, headers=headers, timeout=90, **PLAIN))

        yield Callers(**{field.name: client(field.name) for field in fields(Callers)})


def described_routes() -> set[str]:
    paths = app.openapi()["paths"]
    return {
        f"{method.upper()} {path}" for path, operations in paths.items() if path not in OPEN for method in operations
    }


def send_request(
    client: httpx.Client, route: str, own: ProjectResources, sent: dict[str, Any], **ids: str
) -> httpx.Response:
    """Send the request, with ids of existing resources in its path."""
    method, template = route.split(" ")
    path = re.sub(r"{(\w+)}", lambda name: ids.get(name[1]) or getattr(own, name[1]), template)
    return client.request(method, path, **sent)


def test_the_table_has_exactly_the_documented_routes() -> None:
    assert set(ROUTES) == described_routes()


def test_the_table_matches_the_rights_in_the_signatures() -> None:
    rights = {
        f"{method} {operation.path}": (operation.right.least, operation.right.of_server)
        for operation in app.state.operations
        for method in operation.methods
        if operation.right is not None
    }
    assert rights == {route: (case.least, case.for_administrators) for route, case in ROUTES.items()}


@pytest.fixture
def set_check_timeout(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """A function that sets how many seconds the API waits for a worker."""

    def wait(timeout_s: float) -> None:
        monkeypatch.setenv("RLSD_CHECK_TIMEOUT_S", str(timeout_s))
        settings.cache_clear()

    yield wait
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.usefixtures("check_worker")
@pytest.mark.parametrize("route", ROUTES)
def test_each_caller_gets_the_status_in_the_table(
    route: str, api: Api, callers: Callers, set_check_timeout: Callable[[float], None]
) -> None:
    """Forbidden callers come first and share resources; each permitted caller gets new ones."""
    case, asked_by = ROUTES[route], prepared(route, callers)
    set_check_timeout(case.timeout_s)
    refused(asked_by(api.bare), status=401, code="missing_api_key")
    for name in NO_MORE:
        refused(asked_by(getattr(callers, name)), status=401, code="invalid_api_key")
    for name in (name for name, role in ROLES.items() if not role.covers(case.least)):
        message = refused(asked_by(getattr(callers, name)), status=403, code="permission_denied")["message"]
        assert f"requires the role '{case.least}'" in message
        assert message.endswith("ask an admin of the project for a key with that role.")
    if case.for_administrators:
        refused(asked_by(callers.stranger), status=403, code="permission_denied")
    else:
        assert asked_by(callers.stranger).status_code == case.elsewhere
    for name in (name for name, role in ROLES.items() if role.covers(case.least)):
        response = asked_by(getattr(callers, name))
        assert response.status_code == case.status, f"{name}: {response.text}"
        if case.status != 200:
            refused(response, status=case.status, code="no_worker")
        if not route.startswith("GET"):
            asked_by = prepared(route, callers)


def prepared(route: str, callers: Callers) -> Callable[[httpx.Client], httpx.Response]:
    """Prepare a request about resources of the first project, to be sent by any caller."""
    case = ROUTES[route]
    own = ProjectResources(callers.admin, state=case.state)
    ids = {name: str(getattr(own, other)) for name, other in case.ids.items()}
    return lambda client: send_request(client, route, own, case.sent(own), **ids)


@pytest.mark.parametrize("reference", FOREIGN_REFERENCES, ids=lambda reference: reference.route)
def test_ids_of_another_project_do_not_exist_anywhere(reference: ForeignReference, callers: Callers) -> None:
    theirs, own = ProjectResources(callers.admin), ProjectResources(callers.stranger, project=OTHER_PROJECT)
    foreign_ids = {name: str(getattr(theirs, name)) for name in reference.foreign_ids}
    response = send_request(callers.stranger, reference.route, own, reference.sent(own, theirs), **foreign_ids)
    refused(response, status=reference.status, code=reference.code)


@pytest.fixture
def no_filter_of_sessions() -> Iterator[None]:
    """Sessions that see the rows of all projects, so that only what a query says is its border."""
    event.remove(Session, "do_orm_execute", _filter_by_project)
    yield
    event.listen(Session, "do_orm_execute", _filter_by_project)


@pytest.mark.usefixtures("no_filter_of_sessions")
def test_the_border_in_each_query_holds_without_the_filter_of_sessions(callers: Callers) -> None:
    theirs, own = ProjectResources(callers.admin), ProjectResources(callers.stranger, project=OTHER_PROJECT)
    for reference in FOREIGN_REFERENCES:
        foreign_ids = {name: str(getattr(theirs, name)) for name in reference.foreign_ids}
        response = send_request(callers.stranger, reference.route, own, reference.sent(own, theirs), **foreign_ids)
        assert response.status_code == reference.status, reference.route
    for route, case in ROUTES.items():
        if case.elsewhere != 200:
            ids = {name: str(getattr(theirs, other)) for name, other in case.ids.items()}
            response = send_request(callers.stranger, route, theirs, case.sent(theirs), **ids)
            assert response.status_code == case.elsewhere, route
    for path, object_id in listed(theirs).items():
        assert object_id not in ids_of(callers.stranger, path), path


@pytest.mark.usefixtures("no_filter_of_sessions")
def test_the_border_holds_for_a_version_which_a_process_of_its_own_creates(callers: Callers) -> None:
    theirs, own = ProjectResources(callers.admin), ProjectResources(callers.stranger, project=OTHER_PROJECT)
    unsolved = SolveRate(type="solve_rate", job=theirs.job_id, never_solved=True)
    with transaction() as session:
        assert left_out(session, session.get_one(File, theirs.file_id), [unsolved], edited=()) == [set()]
        with pytest.raises(AppError, match="No such job"):
            left_out(session, session.get_one(File, own.file_id), [unsolved], edited=())


def test_administrators_are_the_admins_of_the_first_project_alone(callers: Callers) -> None:
    refused(callers.stranger.get("/v1/projects"), status=403, code="permission_denied")
    assert [project["name"] for project in answered(callers.admin.get("/v1/projects"))["data"]] == ["default", "other"]


def test_lists_show_the_own_project_alone(callers: Callers) -> None:
    own = ProjectResources(callers.admin)
    for path, object_id in listed(own).items():
        assert object_id in ids_of(callers.admin, path), path
        assert object_id not in ids_of(callers.stranger, path), path
    assert ids_of(callers.stranger, "checks", file=own.file_id) == []
    assert len(ids_of(callers.admin, "checks", file=own.file_id)) == 1
    assert ids_of(callers.stranger, "audit", about=own.file_id) == []


def listed(own: ProjectResources) -> dict[str, str]:
    """Return an id of each list of a project."""
    return {
        "files": own.file_id,
        "verifiers": own.verifier_id,
        "fine_tuning/jobs": own.job_id,
        "checks": own.check_id,
        "comparisons": own.comparison_id,
        "webhooks": own.webhook_id,
        "members": own.email,
        "keys": own.key_id,
        "models": own.model,
    }


def ids_of(client: httpx.Client, path: str, **query: str) -> list[str]:
    return [each["id"] for each in answered(client.get(f"/v1/{path}", params=query))["data"]]


def test_bytes_that_two_projects_hold_stay_for_the_other(callers: Callers) -> None:
    form = {"data": {"purpose": "fine-tune"}, "files": {"file": ("rows.jsonl", ROW)}}
    ours, theirs = (answered(client.post("/v1/files", **form))["id"] for client in (callers.editor, callers.stranger))
    answered(callers.editor.delete(f"/v1/files/{ours}"))
    assert callers.stranger.get(f"/v1/files/{theirs}/content").status_code == 200
    answered(callers.stranger.delete(f"/v1/files/{theirs}"))
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 0


def test_the_history_of_equal_rows_stays_in_its_project(callers: Callers) -> None:
    own = ProjectResources(callers.admin)
    job, content = own.job_id, callers.viewer.get(f"/v1/files/{own.file_id}/content").content
    form = {"data": {"purpose": "fine-tune"}, "files": {"file": ("rows.jsonl", content)}}
    copy = answered(callers.stranger.post("/v1/files", **form))["id"]
    history = answered(callers.viewer.get(f"/v1/files/{own.file_id}/history"))["data"]
    assert [run["job"] for run in history[0]["jobs"]] == [job]
    assert all(not row["jobs"] for row in answered(callers.stranger.get(f"/v1/files/{copy}/history"))["data"])


def test_versions_belong_to_the_project_and_are_in_its_log(callers: Callers) -> None:
    file = ProjectResources(callers.admin).file_id
    made = answered(callers.editor.post(f"/v1/files/{file}/split", json={"share": 0.5, "seed": 1}))
    refused(callers.stranger.get(f"/v1/files/{made['train']['id']}"), status=404)
    entry = answered(callers.admin.get("/v1/audit"))["data"][0]
    assert entry["action"] == "POST /v1/files/{file_id}/split"
    assert {made["train"]["id"], made["validation"]["id"], file} == set(entry["objects"])
