"""`/v1/members`: people who sign in through the identity provider, and their roles."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from backend.api.http.authentication import Caller
from backend.api.http.dependencies import MAX_ID, Auth, Database, ObjectId, found
from backend.api.http.paging import After, Limit, ListItem, Order, Page, cut
from backend.api.http.rights import administers
from backend.api.organisation.keys import Body
from backend.db.base import unix_s, utc_now
from backend.db.keys import Member, Role
from backend.errors import AppError

router = APIRouter(tags=["people"])

EMAIL = r"^[^@\s/]{1,100}@[^@\s/]{1,100}$"
"""Without a slash, which would end it in the path of a request."""


class MemberObject(ListItem):
    """`id` is the e-mail address."""

    object: Literal["member"] = "member"
    role: Role
    created_at: int


class MemberRequest(Body):
    email: str = Field(max_length=MAX_ID, pattern=EMAIL)
    role: Role = Role.VIEWER


class Removed(BaseModel):
    id: str
    deleted: bool = True


@router.post("/members")
def invite(body: MemberRequest, who: Auth, session: Database) -> MemberObject:
    """Lets somebody in who signs in through the identity provider, or changes their role."""
    email = body.email.lower()
    member = session.get(Member, email)
    if member is None:
        member = Member(email=email, role=body.role, created_at=utc_now())
        session.add(member)
        try:
            session.flush()
        except IntegrityError:
            raise _not_invitable(email, who) from None
    elif email == who.id and body.role is not Role.ADMIN:
        raise AppError("Another admin has to change your role.", status=409, code="own_role", type="conflict_error")
    member.role = body.role
    return _member(member)


@router.get("/members")
def list_members(
    _: Auth, session: Database, after: After = None, limit: Limit = 20, order: Order = Order.ASC
) -> Page[MemberObject]:
    place = None if after is None else [after]
    return cut(session, select(Member), keys=(Member.email,), after=place, limit=limit, order=order, show=_member)


@router.delete("/members/{email}")
def remove_member(email: ObjectId, who: Auth, session: Database) -> Removed:
    email = email.lower()
    if email == who.id:
        raise AppError("Another admin has to remove you.", status=409, code="own_role", type="conflict_error")
    session.delete(found(session, Member, email, kind="member"))
    return Removed(id=email)


def _not_invitable(email: str, who: Caller) -> AppError:
    """They belong to another project, of which only administrators of the server are told."""
    message = f"'{email}' cannot be let in here: ask an administrator of the server."
    if administers(who.role, project=who.project):
        message = f"'{email}' belongs to another project: have them removed there first."
    return AppError(message, status=409, code="not_invitable", param="email", type="conflict_error")


def _member(member: Member) -> MemberObject:
    return MemberObject(id=member.email, role=Role(member.role), created_at=unix_s(member.created_at) or 0)
