"""What a route decides before a body is read: the right of its caller, without which no application starts."""

import pytest
from fastapi import APIRouter, Depends

from backend.api.http.dependencies import Database
from backend.api.http.operations import BodyUpTo, FindOperation, Operation, ShowsSecret, operations, stores_nothing
from backend.api.http.rights import Anyone, DatasetsRead, DatasetsWrite, Right, ServerManage
from backend.db.keys import Role


class Key(ShowsSecret):
    secret: str


def router() -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.get("/things/{name}")
    def read(name: str, _: DatasetsRead) -> None: ...

    @router.post("/things/{name}")
    def write(name: str, _: DatasetsWrite) -> None: ...

    @router.post("/things/preview", dependencies=[Depends(stores_nothing), Depends(BodyUpTo(lambda: 7))])
    def preview(_: DatasetsWrite) -> None: ...

    @router.post("/keys")
    def make_key(_: ServerManage) -> Key:
        return Key(secret="")

    @router.get("/health")
    def health(_: Anyone) -> None: ...

    return router


def found(method: str, path: str) -> Operation | None:
    return FindOperation(router(), operations=operations(router().routes)).find(method, path)


def operation(method: str, path: str) -> Operation:
    of_request = found(method, path)
    assert of_request is not None
    return of_request


def test_a_route_without_a_right_does_not_start() -> None:
    forgetful = APIRouter()

    @forgetful.get("/things")
    def read(session: Database) -> None: ...

    with pytest.raises(TypeError, match=r"/things: the signature of its function must name the right"):
        operations(forgetful.routes)


def test_a_route_with_two_rights_does_not_start() -> None:
    undecided = APIRouter()

    @undecided.get("/things")
    def read(_: DatasetsRead, caller: DatasetsWrite) -> None: ...

    with pytest.raises(TypeError, match="once"):
        operations(undecided.routes)


def test_the_right_of_a_route_is_that_of_its_signature() -> None:
    assert operation("GET", "/v1/things/x").right == Right(Role.VIEWER)
    assert operation("POST", "/v1/things/x").right == Right(Role.EDITOR)
    assert operation("POST", "/v1/keys").right == Right(Role.ADMIN, of_server=True)
    assert operation("GET", "/v1/health").right is None


def test_a_path_that_exists_for_another_method_keeps_its_template() -> None:
    assert operation("DELETE", "/v1/things/x").path == "/v1/things/{name}"
    assert found("GET", "/v1/nothing") is None
    assert found("GET", "/v1/things/x/more") is None


def test_the_first_route_of_a_path_and_method_counts_as_in_the_router() -> None:
    assert operation("POST", "/v1/things/preview").path == "/v1/things/{name}"


def test_changes_are_audited_unless_they_store_nothing() -> None:
    audited = {each.path: each.is_audited for each in operations(router().routes) if "POST" in each.methods}
    assert audited == {"/v1/things/{name}": True, "/v1/things/preview": False, "/v1/keys": True}
    assert not operation("GET", "/v1/things/x").is_audited


def test_a_response_with_a_secret_is_known_by_its_type() -> None:
    assert operation("POST", "/v1/keys").shows_secret
    assert not operation("POST", "/v1/things/x").shows_secret


def test_only_the_named_route_takes_larger_bodies() -> None:
    limits = {each.path: each.body_limit_bytes and each.body_limit_bytes() for each in operations(router().routes)}
    assert limits.pop("/v1/things/preview") == 7
    assert set(limits.values()) == {None}
