"""`/v1/verifiers`: named verifiers with immutable versions; drafts can be run without saving."""

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import Database, ObjectId
from backend.api.http.paging import ListItem, Page, PageParams, numbers_in_id, page, page_of
from backend.api.http.rights import VerifiersRead, VerifiersWrite
from backend.api.verifiers.graders import ScoreRecordObject, grade, record_object
from backend.datasets.rows.references import right_answer_of
from backend.db.base import unix_s
from backend.db.engine import transaction
from backend.db.verifiers import Verifier, newest_versions, versions_of
from backend.verifiers.ready_made import READY_MADE
from backend.verifiers.saved import (
    MAX_VERSION,
    delete_verifier,
    find_verifier,
    resolve_grader,
    save_verifier,
    save_version,
)
from backend.verifiers.specs import parse_spec
from backend.verifiers.templates import Sample

MAX_SAMPLES = 256

router = APIRouter(prefix="/verifiers", tags=["verifiers"])

Version = Annotated[int | None, Query(ge=1, le=MAX_VERSION, description="By default the newest.")]


class VerifierRequest(RequestBody):
    name: str = Field(min_length=1, max_length=200)
    grader: dict[str, Any]


class VersionRequest(RequestBody):
    name: str | None = Field(None, min_length=1, max_length=200)
    grader: dict[str, Any]


class VerifierObject(ListItem):
    object: Literal["verifier"] = "verifier"
    name: str
    version: int
    created_at: int
    grader: dict[str, Any]
    spec_hash: str


class VersionObject(ListItem):
    """A version; its `id` is a cursor for `after`, the verifier's id is `verifier_id`."""

    object: Literal["verifier.version"] = "verifier.version"
    verifier_id: str
    name: str
    version: int
    created_at: int
    grader: dict[str, Any]
    spec_hash: str


class VerifierDeleted(BaseModel):
    id: str
    object: Literal["verifier"] = "verifier"
    deleted: bool = True


class SampleRequest(RequestBody):
    """A text to score; `answer` is that of the dataset's normal form, by default taken from the item.

    Of a list, any one is right.
    """

    output_text: str
    item: dict[str, Any] = Field(default_factory=dict)
    answer: str | list[str] | None = None


class DraftRequest(RequestBody):
    grader: dict[str, Any]
    samples: list[SampleRequest] = Field(min_length=1, max_length=MAX_SAMPLES)


class DraftResult(BaseModel):
    object: Literal["verifier.test"] = "verifier.test"
    records: list[ScoreRecordObject]


@router.post("/test")
def run_draft(body: DraftRequest, caller: VerifiersWrite) -> DraftResult:
    """Score texts with a grader that need not be saved. Returns one record per sample, in order."""
    with transaction(project=caller.project) as session:
        spec, _verifier = resolve_grader(session, body.grader, project=caller.project, param="grader")
    samples = [Sample(output_text=s.output_text, item=s.item, answer=_right(s)) for s in body.samples]
    return DraftResult(records=[record_object(record) for record in grade(spec, samples, project=caller.project)])


def _right(sample: SampleRequest) -> str | tuple[str, ...] | None:
    if sample.answer is None:
        return right_answer_of(sample.item)
    return tuple(sample.answer) if isinstance(sample.answer, list) else sample.answer


@router.post("")
def create_verifier(body: VerifierRequest, caller: VerifiersWrite, session: Database) -> VerifierObject:
    """Save a verifier."""
    return _verifier_object(
        save_verifier(session, project=caller.project, name=body.name, spec=parse_spec(body.grader))
    )


@router.get("")
def list_verifiers(
    caller: VerifiersRead,
    session: Database,
    query: PageParams,
) -> Page[VerifierObject]:
    """List the newest version of each verifier, newest first."""
    return page_of(session, newest_versions(caller.project), query, to_item=_verifier_object)


class ReadyMadeExample(BaseModel):
    item: dict[str, Any]
    text: str
    score: float


class ReadyMadeObject(ListItem):
    """A ready-made verifier, with the examples it was tested with."""

    object: Literal["verifier.ready_made"] = "verifier.ready_made"
    name: str
    use: str
    grader: dict[str, Any]
    examples: list[ReadyMadeExample]


@router.get("/ready-made")
def list_ready_made(_: VerifiersRead) -> Page[ReadyMadeObject]:
    """List all ready-made verifiers."""
    return page([ReadyMadeObject.model_validate(asdict(verifier)) for verifier in READY_MADE])


@router.get("/{verifier_id}")
def get_verifier(
    verifier_id: ObjectId, caller: VerifiersRead, session: Database, version: Version = None
) -> VerifierObject:
    """Return a verifier."""
    return _verifier_object(find_verifier(session, verifier_id, project=caller.project, version=version))


@router.delete("/{verifier_id}")
def remove_verifier(verifier_id: ObjectId, caller: VerifiersWrite, session: Database) -> VerifierDeleted:
    """Delete a verifier with all its versions. Jobs that use it keep their copy."""
    delete_verifier(session, find_verifier(session, verifier_id, project=caller.project, version=None))
    return VerifierDeleted(id=verifier_id)


@router.get("/{verifier_id}/versions")
def list_versions(
    verifier_id: ObjectId,
    caller: VerifiersRead,
    session: Database,
    query: PageParams,
) -> Page[VersionObject]:
    """List the versions of a verifier."""
    versions = versions_of(find_verifier(session, verifier_id, project=caller.project, version=None))
    position = partial(numbers_in_id, pattern=r"version-(\d+)")
    return page_of(session, versions, query, to_item=_version_object, position=position)


@router.post("/{verifier_id}/versions")
def create_version(
    verifier_id: ObjectId, body: VersionRequest, caller: VerifiersWrite, session: Database
) -> VerifierObject:
    """Save a new version of a verifier. Jobs that use earlier versions keep theirs."""
    verifier = find_verifier(session, verifier_id, project=caller.project, version=None)
    return _verifier_object(save_version(session, verifier, name=body.name, spec=parse_spec(body.grader)))


def _verifier_object(verifier: Verifier) -> VerifierObject:
    return VerifierObject(
        id=verifier.id,
        name=verifier.name,
        version=verifier.version,
        created_at=unix_s(verifier.created_at),
        grader=verifier.spec,
        spec_hash=verifier.spec_hash,
    )


def _version_object(verifier: Verifier) -> VersionObject:
    return VersionObject(
        id=f"version-{verifier.version}",
        verifier_id=verifier.id,
        name=verifier.name,
        version=verifier.version,
        created_at=unix_s(verifier.created_at),
        grader=verifier.spec,
        spec_hash=verifier.spec_hash,
    )
