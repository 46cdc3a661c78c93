"""`/v1/members`: people who sign in through the identity provider, and their roles."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from backend.api.http.authentication import Caller
from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import MAX_ID, Database, ObjectId, delete_or_404
from backend.api.http.paging import After, Limit, ListItem, Order, Page, PageQuery, page_of
from backend.api.http.rights import PeopleManage
from backend.db.base import unix_s
from backend.db.keys import Member, Role, add_member, members_of
from backend.db.projects import find_owned
from backend.errors import AppError

router = APIRouter(tags=["members"])

EMAIL = r"^[^@\s/]{1,100}@[^@\s/]{1,100}$"
"""Without a slash, which would end the parameter in a request path."""


class MemberObject(ListItem):
    """A member; `id` is the e-mail address."""

    object: Literal["member"] = "member"
    role: Role
    created_at: int


class MemberRequest(RequestBody):
    email: str = Field(max_length=MAX_ID, pattern=EMAIL)
    role: Role = Role.VIEWER


class Removed(BaseModel):
    id: str
    deleted: bool = True


@router.post("/members")
def invite(body: MemberRequest, caller: PeopleManage, session: Database) -> MemberObject:
    """Give a person access, who then signs in through the identity provider, or change their role."""
    email = body.email.lower()
    member = find_owned(session, Member, email, project=caller.project)
    if member is None:
        member = add_member(session, email, role=body.role, project=caller.project)
        if member is None:
            raise _not_invitable(email, caller)
    elif email == caller.id and body.role is not Role.ADMIN:
        raise AppError(
            "You cannot change your own role: ask another admin.", status=409, code="own_role", type="conflict_error"
        )
    member.role = body.role
    return _member_object(member)


@router.get("/members")
def list_members(
    caller: PeopleManage, session: Database, after: After = None, limit: Limit = 20, order: Order = Order.ASC
) -> Page[MemberObject]:
    """List the members of the project."""
    members, query = members_of(caller.project), PageQuery(after, limit, order)
    return page_of(session, members, query, to_item=_member_object, position=lambda email: [email])


@router.delete("/members/{email}")
def remove_member(email: ObjectId, caller: PeopleManage, session: Database) -> Removed:
    """Remove a member."""
    email = email.lower()
    if email == caller.id:
        raise AppError(
            "You cannot remove yourself: ask another admin.", status=409, code="own_role", type="conflict_error"
        )
    delete_or_404(session, Member, email, project=caller.project)
    return Removed(id=email)


def _not_invitable(email: str, caller: Caller) -> AppError:
    """Build the error for a member of another project; only server administrators learn that this is the reason."""
    message = f"'{email}' cannot be added to this project: ask an administrator of the server."
    if caller.is_server_admin:
        message = f"'{email}' belongs to another project: an admin there has to remove them first."
    return AppError(message, status=409, code="not_invitable", param="email", type="conflict_error")


def _member_object(member: Member) -> MemberObject:
    return MemberObject(id=member.email, role=Role(member.role), created_at=unix_s(member.created_at))
