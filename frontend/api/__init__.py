"""Typed client of the HTTP API, the only connection from the pages to the service.

Every failure, an error response or no response, raises `ApiError` with the API's own sentence as message. The calls are
grouped by route in this package's modules; the types of responses, in `frontend.api.types`, are generated.

The calls themselves are written by hand: each says in a page's words what it sends and which part of the response it
takes, so generated ones would need a second layer of the same length. A test compares each with the API's operations.
"""

from frontend.api.chat import Chat
from frontend.api.checks import Checks
from frontend.api.comparisons import Comparisons
from frontend.api.files import Files
from frontend.api.http import ApiError, api_url, new_connections, public_api_url
from frontend.api.jobs import Jobs
from frontend.api.models import Models
from frontend.api.organisation import People
from frontend.api.verifiers import Verifiers

__all__ = ["ApiError", "Client", "api_url", "new_connections", "public_api_url"]


class Client(Files, Verifiers, Jobs, Models, Checks, People, Chat, Comparisons):
    """Client of the whole API."""
