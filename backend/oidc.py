"""Sign-in through an organisation's identity provider: its ID tokens are accepted in place of API keys.

Source: OpenID Connect Core 1.0, section 3.1.3.7 (ID token validation). The provider only authenticates: the token
contains an e-mail address, and the table of members maps it to a project and a role.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import httpx
import jwt
import structlog

from backend.errors import AppError
from backend.settings import settings

ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "PS256"]
"""Signatures with a private key of the provider; never a shared secret, never `none`."""
LEEWAY_S = 30
TIMEOUT_S = 10.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class VerifiedIdentity:
    """The identity in a valid token: an e-mail address in lower case, and when the token expires."""

    email: str
    until: datetime


def verify_token(token: str) -> VerifiedIdentity | None:
    """Validate an ID token. Returns None if no provider is configured or this is not a token.

    Raises AppError 401 for an invalid token, 503 if the provider does not respond.
    """
    issuer, audience = settings().oidc_issuer, settings().oidc_audience
    if issuer is None or audience is None or token.count(".") != 2:
        return None
    try:
        key = _keys(issuer).get_signing_key_from_jwt(token)
        claims = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except (jwt.PyJWKClientConnectionError, httpx.HTTPError) as error:
        log.error("the identity provider does not respond", issuer=issuer, error=str(error))
        raise AppError(
            "The identity provider does not respond; try again.", status=503, code="no_provider", type="server_error"
        ) from None
    except jwt.PyJWTError as error:
        raise _refused(str(error)) from None
    return VerifiedIdentity(email=_address(claims), until=datetime.fromtimestamp(claims["exp"] + LEEWAY_S, UTC))


def _address(claims: dict[str, Any]) -> str:
    email = claims.get("email")
    if not isinstance(email, str) or not email:
        raise _refused("it contains no e-mail address; request the scope 'email'")
    verified = claims.get("email_verified", settings().oidc_trust_email)
    if verified is not True and verified != "true":  # some providers send a string
        raise _refused("its e-mail address is not marked as verified")
    return email.lower()


@lru_cache(maxsize=4)
def _keys(issuer: str) -> jwt.PyJWKClient:
    """Return a client for the provider's public keys, which caches them and fetches them again for an unknown key."""
    configuration = httpx.get(
        f"{issuer.rstrip('/')}/.well-known/openid-configuration", timeout=TIMEOUT_S, follow_redirects=True
    )
    configuration.raise_for_status()
    return jwt.PyJWKClient(configuration.json()["jwks_uri"], timeout=TIMEOUT_S)


def _refused(reason: str) -> AppError:
    return AppError(f"The sign-in token is not valid: {reason}. Sign in again.", status=401, code="invalid_token")
