"""`/v1/verifiers`: named verifiers with immutable versions; drafts can be run without saving."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select

from backend.api.http.dependencies import Auth, Database, ObjectId
from backend.api.http.paging import ListItem, Page, PageParams, keyset_page, numbers_in_id, page, paginate
from backend.api.verifiers.graders import ScoreRecordObject, grade, record_object
from backend.datasets.rows.rows import answer_of
from backend.db.base import unix_s
from backend.db.engine import transaction
from backend.db.verifiers import Verifier
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


class VerifierRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    grader: dict[str, Any]


class VersionRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

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


class SampleRequest(BaseModel):
    """A text to score; `answer` is that of the dataset's normal form, by default taken from the item."""

    model_config = ConfigDict(extra="forbid")

    output_text: str
    item: dict[str, Any] = Field(default_factory=dict)
    answer: str | None = None


class DraftRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    grader: dict[str, Any]
    samples: list[SampleRequest] = Field(min_length=1, max_length=MAX_SAMPLES)


class DraftResult(BaseModel):
    object: Literal["verifier.test"] = "verifier.test"
    records: list[ScoreRecordObject]


@router.post("/test")
def run_draft(body: DraftRequest, who: Auth) -> DraftResult:
    """Score texts with a grader that need not be saved. Returns one record per sample, in order."""
    with transaction(project=who.project) as session:
        spec, _verifier = resolve_grader(session, body.grader, param="grader")
    samples = [
        Sample(output_text=s.output_text, item=s.item, answer=answer_of(s.item) if s.answer is None else s.answer)
        for s in body.samples
    ]
    return DraftResult(records=[record_object(record) for record in grade(spec, samples, project=who.project)])


@router.post("")
def create_verifier(body: VerifierRequest, _: Auth, session: Database) -> VerifierObject:
    """Save a verifier."""
    return _verifier_object(save_verifier(session, name=body.name, spec=parse_spec(body.grader)))


@router.get("")
def list_verifiers(
    _: Auth,
    session: Database,
    query: PageParams,
) -> Page[VerifierObject]:
    """List the newest version of each verifier, newest first."""
    newest = select(Verifier.id, func.max(Verifier.version).label("version")).group_by(Verifier.id).subquery()
    statement = select(Verifier).join(newest, (newest.c.id == Verifier.id) & (newest.c.version == Verifier.version))
    return paginate(session, statement, keys=(Verifier.created_at, Verifier.id), query=query, to_item=_verifier_object)


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
def list_ready_made(_: Auth) -> Page[ReadyMadeObject]:
    """List all ready-made verifiers."""
    return page([ReadyMadeObject.model_validate(asdict(verifier)) for verifier in READY_MADE])


@router.get("/{verifier_id}")
def get_verifier(verifier_id: ObjectId, _: Auth, session: Database, version: Version = None) -> VerifierObject:
    """Return a verifier."""
    return _verifier_object(find_verifier(session, verifier_id, version=version))


@router.delete("/{verifier_id}")
def remove_verifier(verifier_id: ObjectId, _: Auth, session: Database) -> VerifierDeleted:
    """Delete a verifier with all its versions. Jobs that use it keep their copy."""
    delete_verifier(session, verifier_id)
    return VerifierDeleted(id=verifier_id)


@router.get("/{verifier_id}/versions")
def list_versions(
    verifier_id: ObjectId,
    _: Auth,
    session: Database,
    query: PageParams,
) -> Page[VersionObject]:
    """List the versions of a verifier."""
    find_verifier(session, verifier_id, version=None)
    return keyset_page(
        session,
        select(Verifier).where(Verifier.id == verifier_id),
        keys=(Verifier.version,),
        after=numbers_in_id(query.after, pattern=r"version-(\d+)"),
        limit=query.limit,
        order=query.order,
        to_item=_version_object,
    )


@router.post("/{verifier_id}/versions")
def create_version(verifier_id: ObjectId, body: VersionRequest, _: Auth, session: Database) -> VerifierObject:
    """Save a new version of a verifier. Jobs that use earlier versions keep theirs."""
    find_verifier(session, verifier_id, version=None)
    return _verifier_object(save_version(session, verifier_id, name=body.name, spec=parse_spec(body.grader)))


def _verifier_object(verifier: Verifier) -> VerifierObject:
    return VerifierObject(
        id=verifier.id,
        name=verifier.name,
        version=verifier.version,
        created_at=unix_s(verifier.created_at) or 0,
        grader=verifier.spec,
        spec_hash=verifier.spec_hash,
    )


def _version_object(verifier: Verifier) -> VersionObject:
    return VersionObject(
        id=f"version-{verifier.version}",
        verifier_id=verifier.id,
        name=verifier.name,
        version=verifier.version,
        created_at=unix_s(verifier.created_at) or 0,
        grader=verifier.spec,
        spec_hash=verifier.spec_hash,
    )
