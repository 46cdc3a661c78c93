"""Sign-in through a real identity provider on a port, which signs with a key of the test."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from backend import oidc
from backend.api.jobs.stream import feeds
from backend.db.engine import transaction
from backend.db.keys import create_key
from backend.settings import settings
from tests.service.conftest import EXACT, Api, answered, refused

AUDIENCE = "rlsd-workbench"


@dataclass(frozen=True, slots=True)
class Provider:
    issuer: str
    key: rsa.RSAPrivateKey

    def token(self, *, key: rsa.RSAPrivateKey | None = None, algorithm: str = "RS256", **changes: Any) -> str:
        """Sign an ID token as the provider would; `changes` replace claims, None removes one."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": AUDIENCE, "sub": "1", "iat": now, "exp": now + 60} | {
            "email": "Ada@example.org",
            "email_verified": True,
        }
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(claims, key or self.key, algorithm=algorithm, headers={"kid": "1"})


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "1", "use": "sig"}

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/authorize"):
                self.send_back(parse_qs(urlsplit(self.path).query))
            elif self.path.endswith("openid-configuration"):
                pages = {"jwks_uri": "keys", "authorization_endpoint": "authorize", "token_endpoint": "token"}
                content = {name: f"{issuer}/{page}" for name, page in pages.items()}
                self.answer({"issuer": issuer, "id_token_signing_alg_values_supported": ["RS256"]} | content)
            else:
                self.answer({"keys": [public]})

        def send_back(self, query: dict[str, list[str]]) -> None:
            """Sign in every visitor as Ada by redirecting at once; the authorization code is the nonce."""
            code = urlencode({"code": query["nonce"][0], "state": query["state"][0]})
            self.send_response(302)
            self.send_header("location", f"{query['redirect_uri'][0]}?{code}")
            self.end_headers()

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            token = made.token(nonce=form["code"][0])
            self.answer({"id_token": token, "access_token": "none", "token_type": "Bearer"})

        def answer(self, content: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    issuer = f"http://127.0.0.1:{server.server_address[1]}"
    made = Provider(issuer=issuer, key=key)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("RLSD_OIDC_ISSUER", issuer)
    monkeypatch.setenv("RLSD_OIDC_AUDIENCE", AUDIENCE)
    settings.cache_clear()
    yield made
    server.shutdown()
    monkeypatch.undo()
    settings.cache_clear()


def as_member(api: Api, token: str) -> httpx.Response:
    return api.bare.get("/v1/whoami", headers={"authorization": f"Bearer {token}"})


def test_a_member_comes_in_with_the_role_that_was_given(api: Api, provider: Provider) -> None:
    refused(as_member(api, provider.token()), status=403, code="no_member")
    answered(api.http.post("/v1/members", json={"email": "ada@example.org", "role": "viewer"}))
    caller = answered(as_member(api, provider.token()))
    assert (caller["id"], caller["role"]) == ("ada@example.org", "viewer")
    bearer = {"authorization": f"Bearer {provider.token()}"}
    message = refused(api.bare.delete("/v1/files/file-1", headers=bearer), status=403, code="permission_denied")[
        "message"
    ]
    assert "requires the role 'editor'" in message
    assert message.endswith("ask an admin of the project to give you that role.")
    answered(api.http.delete("/v1/members/ada@example.org"))
    refused(as_member(api, provider.token()), status=403, code="no_member")


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"aud": "another application"},
        {"iss": "http://elsewhere.example"},
        {"email_verified": False},
        {"email_verified": "false"},
        {"email_verified": None},
        {"email": None},
        {"sub": None},
    ],
    ids=lambda changes: "=".join(map(str, *changes.items())),
)
def test_a_token_that_does_not_hold_is_refused(api: Api, provider: Provider, changes: dict[str, Any]) -> None:
    answered(api.http.post("/v1/members", json={"email": "ada@example.org"}))
    refused(as_member(api, provider.token(**changes)), status=401, code="invalid_token")


def test_a_textual_verified_claim_counts(api: Api, provider: Provider) -> None:
    answered(api.http.post("/v1/members", json={"email": "ada@example.org"}))
    answered(as_member(api, provider.token(email_verified="true")))


def test_a_provider_without_verified_claims_can_be_trusted(
    api: Api, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLSD_OIDC_TRUST_EMAIL", "true")
    settings.cache_clear()
    answered(api.http.post("/v1/members", json={"email": "ada@example.org"}))
    answered(as_member(api, provider.token(email_verified=None)))
    for unverified in (False, "false"):
        refused(as_member(api, provider.token(email_verified=unverified)), status=401, code="invalid_token")


def test_a_token_with_a_foreign_signature_is_refused(api: Api, provider: Provider) -> None:
    answered(api.http.post("/v1/members", json={"email": "ada@example.org"}))
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    refused(as_member(api, provider.token(key=other)), status=401, code="invalid_token")
    unsigned = jwt.encode(jwt.decode(provider.token(), options={"verify_signature": False}), "", algorithm="none")
    refused(as_member(api, unsigned), status=401)


def test_keys_keep_working_with_a_provider(api: Api, provider: Provider) -> None:
    caller = answered(api.http.get("/v1/whoami"))
    assert caller["identity_provider"] == provider.issuer


def test_a_key_may_look_like_a_token(api: Api, provider: Provider) -> None:
    with transaction() as session:
        create_key(session, name="dotted", secret="a.key.with-two-dots-and-enough-letters")
    assert answered(as_member(api, "a.key.with-two-dots-and-enough-letters"))["name"] == "dotted"


def test_a_missing_provider_is_reported(api: Api) -> None:
    assert answered(api.http.get("/v1/whoami"))["identity_provider"] is None


def test_a_request_sent_again_with_a_refreshed_token_is_answered_again(api: Api, provider: Provider) -> None:
    answered(api.http.post("/v1/members", json={"email": "ada@example.org", "role": "editor"}))
    first, second = (
        api.bare.post(
            "/v1/verifiers",
            json={"name": "a", "grader": EXACT},
            headers={"authorization": f"Bearer {provider.token(sub=session)}", "idempotency-key": "k"},
        )
        for session in ("before", "after")
    )
    assert answered(first) == answered(second)
    assert second.headers["idempotent-replayed"] == "true"


def test_a_watch_ends_when_its_member_is_removed(api: Api, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "REVALIDATION_S", 0.1)
    answered(api.http.post("/v1/members", json={"email": "ada@example.org"}))
    with watched(api, provider.token()) as lines:
        next(lines)
        answered(api.http.delete("/v1/members/ada@example.org"))
        assert "event: end" not in list(lines)


def test_a_watch_ends_with_the_sign_in(api: Api, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "REVALIDATION_S", 0.1)
    monkeypatch.setattr(oidc, "LEEWAY_S", 0)
    answered(api.http.post("/v1/members", json={"email": "ada@example.org"}))
    with watched(api, provider.token(exp=int(time.time()) + 3)) as lines:
        assert "event: end" not in list(lines)
    assert answered(as_member(api, provider.token()))["id"] == "ada@example.org"


@contextmanager
def watched(api: Api, token: str) -> Iterator[Iterator[str]]:
    """The lines of a job's stream, until it ends."""
    path, headers = f"/v1/fine_tuning/jobs/{api.job()['id']}/stream", {"authorization": f"Bearer {token}"}
    with api.bare.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        yield response.iter_lines()
