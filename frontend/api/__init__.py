"""The only way from the pages to the service: typed calls of its HTTP API.

Every failure, a refusal or an API that does not answer, becomes one `ApiError` whose message is the API's own sentence.
The calls stand by their routes in the modules beside this one; what they answer is in `frontend.api.types`.
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
    """All of the API."""
