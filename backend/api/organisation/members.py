"""`/v1/members`: people who sign in through the identity provider, and their roles."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from backend.api.http.authentication import Caller
from backend.api.http.dependencies import MAX_ID, Auth, Database, ObjectId, get_or_404
from backend.api.http.paging import After, Limit, ListItem, Order, Page, keyset_page
from backend.api.http.rights import is_server_admin
from backend.api.organisation.keys import Body
from backend.db.base import unix_s, utc_now
from backend.db.keys import Member, Role
from backend.errors import AppError

router = APIRouter(tags=["members"])

EMAIL = r"^[^@\s/]{1,100}@[^@\s/]{1,100}$"
"""Without a slash, which would end the parameter in a request path."""


class MemberObject(ListItem):
    """A member; `id` is the e-mail address."""

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
    """Give a person access, who then signs in through the identity provider, or change their role."""
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
        raise AppError(
            "You cannot change your own role: ask another admin.", status=409, code="own_role", type="conflict_error"
        )
    member.role = body.role
    return _member_object(member)


@router.get("/members")
def list_members(
    _: Auth, session: Database, after: After = None, limit: Limit = 20, order: Order = Order.ASC
) -> Page[MemberObject]:
    """List the members of the project."""
    cursor = None if after is None else [after]
    return keyset_page(
        session, select(Member), keys=(Member.email,), after=cursor, limit=limit, order=order, to_item=_member_object
    )


@router.delete("/members/{email}")
def remove_member(email: ObjectId, who: Auth, session: Database) -> Removed:
    """Remove a member."""
    email = email.lower()
    if email == who.id:
        raise AppError(
            "You cannot remove yourself: ask another admin.", status=409, code="own_role", type="conflict_error"
        )
    session.delete(get_or_404(session, Member, email, kind="member"))
    return Removed(id=email)


def _not_invitable(email: str, who: Caller) -> AppError:
    """Build the error for a member of another project; only server administrators learn that this is the reason."""
    message = f"'{email}' cannot be added to this project: ask an administrator of the server."
    if is_server_admin(who.role, project=who.project):
        message = f"'{email}' belongs to another project: an admin there has to remove them first."
    return AppError(message, status=409, code="not_invitable", param="email", type="conflict_error")


def _member_object(member: Member) -> MemberObject:
    return MemberObject(id=member.email, role=Role(member.role), created_at=unix_s(member.created_at) or 0)
