"""The only way from the pages to the service: typed calls of its HTTP API.

Every failure, a refusal or an API that does not answer, becomes one `ApiError` whose message is the API's own sentence.
The calls stand by their routes in the modules beside this one; what they answer is in `frontend.shapes`.
"""

from frontend.client.chat import Chat
from frontend.client.checks import Checks
from frontend.client.comparisons import Comparisons
from frontend.client.files import Files
from frontend.client.jobs import Jobs
from frontend.client.models import Models
from frontend.client.people import People
from frontend.client.verifiers import Verifiers
from frontend.client.wire import ApiError, api_url, new_connections, public_api_url

__all__ = ["ApiError", "Client", "api_url", "new_connections", "public_api_url"]


class Client(Files, Verifiers, Jobs, Models, Checks, People, Chat, Comparisons):
    """All of the API."""
