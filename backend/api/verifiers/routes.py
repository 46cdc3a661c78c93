"""`/v1/verifiers`: verifiers kept under a name, in versions that never change; drafts are tried without saving."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select

from backend.api.http.dependencies import Auth, Database, ObjectId
from backend.api.http.paging import ListItem, Page, PageAsked, cut, listed, numbers_of, page
from backend.api.verifiers.graders import ScoreRecordObject, grade, shown_record
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

Version = Annotated[int | None, Query(ge=1, le=MAX_VERSION, description="The newest unless given.")]


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
    """One version; its `id` is good as `after`, the verifier's own stands in `verifier_id`."""

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
    """`answer` is what the dataset's normal form would hold; left out, it is looked for in the item."""

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
    """Score texts with a grader that need not be saved; one record a sample, in order."""
    with transaction(project=who.project) as session:
        spec, _verifier = resolve_grader(session, body.grader, param="grader")
    samples = [
        Sample(output_text=s.output_text, item=s.item, answer=answer_of(s.item) if s.answer is None else s.answer)
        for s in body.samples
    ]
    return DraftResult(records=[shown_record(record) for record in grade(spec, samples, project=who.project)])


@router.post("")
def create_verifier(body: VerifierRequest, _: Auth, session: Database) -> VerifierObject:
    return _shown(save_verifier(session, name=body.name, spec=parse_spec(body.grader)))


@router.get("")
def list_verifiers(
    _: Auth,
    session: Database,
    asked: PageAsked,
) -> Page[VerifierObject]:
    """The newest version of each, the verifier made last first."""
    newest = select(Verifier.id, func.max(Verifier.version).label("version")).group_by(Verifier.id).subquery()
    statement = select(Verifier).join(newest, (newest.c.id == Verifier.id) & (newest.c.version == Verifier.version))
    return listed(session, statement, keys=(Verifier.created_at, Verifier.id), asked=asked, show=_shown)


class ReadyMadeExample(BaseModel):
    item: dict[str, Any]
    text: str
    score: float


class ReadyMadeObject(ListItem):
    """A verifier to start from; its examples are what it was tested with."""

    object: Literal["verifier.ready_made"] = "verifier.ready_made"
    name: str
    use: str
    grader: dict[str, Any]
    examples: list[ReadyMadeExample]


@router.get("/ready-made")
def list_ready_made(_: Auth) -> Page[ReadyMadeObject]:
    """Verifiers to start from, all of them, in the order in which they are offered."""
    return page([ReadyMadeObject.model_validate(asdict(verifier)) for verifier in READY_MADE])


@router.get("/{verifier_id}")
def get_verifier(verifier_id: ObjectId, _: Auth, session: Database, version: Version = None) -> VerifierObject:
    return _shown(find_verifier(session, verifier_id, version=version))


@router.delete("/{verifier_id}")
def remove_verifier(verifier_id: ObjectId, _: Auth, session: Database) -> VerifierDeleted:
    """With all its versions. Jobs made with it keep their copy."""
    delete_verifier(session, verifier_id)
    return VerifierDeleted(id=verifier_id)


@router.get("/{verifier_id}/versions")
def list_versions(
    verifier_id: ObjectId,
    _: Auth,
    session: Database,
    asked: PageAsked,
) -> Page[VersionObject]:
    find_verifier(session, verifier_id, version=None)
    return cut(
        session,
        select(Verifier).where(Verifier.id == verifier_id),
        keys=(Verifier.version,),
        after=numbers_of(asked.after, pattern=r"version-(\d+)"),
        limit=asked.limit,
        order=asked.order,
        show=_shown_version,
    )


@router.post("/{verifier_id}/versions")
def create_version(verifier_id: ObjectId, body: VersionRequest, _: Auth, session: Database) -> VerifierObject:
    """Save a changed verifier; jobs made with earlier versions keep theirs."""
    find_verifier(session, verifier_id, version=None)
    return _shown(save_version(session, verifier_id, name=body.name, spec=parse_spec(body.grader)))


def _shown(verifier: Verifier) -> VerifierObject:
    return VerifierObject(
        id=verifier.id,
        name=verifier.name,
        version=verifier.version,
        created_at=unix_s(verifier.created_at) or 0,
        grader=verifier.spec,
        spec_hash=verifier.spec_hash,
    )


def _shown_version(verifier: Verifier) -> VersionObject:
    return VersionObject(
        id=f"version-{verifier.version}",
        verifier_id=verifier.id,
        name=verifier.name,
        version=verifier.version,
        created_at=unix_s(verifier.created_at) or 0,
        grader=verifier.spec,
        spec_hash=verifier.spec_hash,
    )
