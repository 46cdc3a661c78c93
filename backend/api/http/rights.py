"""The rights of callers. The signature of each route names the one that it requires: `caller: DatasetsWrite`.

A right is checked before the body is read (`middleware.Authentication`), and again where the route gets its caller.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from backend.api.http.authentication import Caller, bearer
from backend.db.keys import Role
from backend.errors import AppError


@dataclass(frozen=True, slots=True)
class Right:
    """What a caller must be: of the role `least` or above it, and, with `of_server`, an administrator of the server.

    As a dependency it returns the caller.
    """

    least: Role
    of_server: bool = False

    async def __call__(self, request: Request, _: Annotated[object, Depends(bearer)]) -> Caller:
        caller: Caller = request.state.caller
        self.require(caller)
        return caller

    def require(self, caller: Caller) -> None:
        """Raise AppError 403 if the caller does not have this right."""
        if not caller.role.covers(self.least):
            remedy = "for a key with that role" if caller.signed_in_until is None else "to give you that role"
            raise _forbidden(
                f"This requires the role '{self.least}', but '{caller.name}' has the role '{caller.role}': "
                f"ask an admin of the project {remedy}."
            )
        if self.of_server and not caller.is_server_admin:
            raise _forbidden("Only administrators of the server (admins of its first project) may do this.")


async def anyone() -> None:
    """Let everyone make the request, without a key."""


Anyone = Annotated[None, Depends(anyone)]

VIEWER = Depends(Right(Role.VIEWER))
EDITOR = Depends(Right(Role.EDITOR))
ADMIN = Depends(Right(Role.ADMIN))
SERVER_ADMIN = Depends(Right(Role.ADMIN, of_server=True))

ProjectRead = Annotated[Caller, VIEWER]
"""The caller's own project: quotas, usage, workers."""
DatasetsRead = Annotated[Caller, VIEWER]
DatasetsWrite = Annotated[Caller, EDITOR]
VerifiersRead = Annotated[Caller, VIEWER]
VerifiersWrite = Annotated[Caller, EDITOR]
ChecksRead = Annotated[Caller, VIEWER]
ChecksWrite = Annotated[Caller, EDITOR]
JobsRead = Annotated[Caller, VIEWER]
JobsWrite = Annotated[Caller, EDITOR]
ComparisonsRead = Annotated[Caller, VIEWER]
ComparisonsWrite = Annotated[Caller, EDITOR]
ModelsRead = Annotated[Caller, VIEWER]
ModelsWrite = Annotated[Caller, EDITOR]
ModelsUse = Annotated[Caller, VIEWER]
"""Chat, which changes nothing."""
PeopleManage = Annotated[Caller, ADMIN]
"""Keys and members of the caller's project."""
AuditRead = Annotated[Caller, ADMIN]
WebhooksManage = Annotated[Caller, ADMIN]
ServerManage = Annotated[Caller, SERVER_ADMIN]
"""What reaches beyond one project: all projects, and the metrics of the server."""


def _forbidden(message: str) -> AppError:
    return AppError(message, status=403, code="permission_denied", type="permission_error")
