"""Sign-in through an organisation's identity provider: its ID tokens are accepted where an API key is.

Source: OpenID Connect Core 1.0, section 3.1.3.7 (validation of an ID token). Who may do what is not the provider's to
say: the token tells an e-mail address, the table of members its project and role.
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
"""Signatures by a private key of the provider; never a shared secret, never `none`."""
LEEWAY_S = 30
TIMEOUT_S = 10.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a token tells: an address in lower case, and until when it does."""

    email: str
    until: datetime


def signed_in(token: str) -> SignedIn | None:
    """Whose ID token this is; None where no provider is set or this is no token at all.

    Raises AppError 401 for a token that does not hold, 503 where the provider does not answer.
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
        log.error("the identity provider does not answer", issuer=issuer, error=str(error))
        raise AppError(
            "The identity provider does not answer; try again.", status=503, code="no_provider", type="server_error"
        ) from None
    except jwt.PyJWTError as error:
        raise _refused(str(error)) from None
    return SignedIn(email=_address(claims), until=datetime.fromtimestamp(claims["exp"] + LEEWAY_S, UTC))


def _address(claims: dict[str, Any]) -> str:
    email = claims.get("email")
    if not isinstance(email, str) or not email:
        raise _refused("it holds no e-mail address; ask for the scope 'email'")
    verified = claims.get("email_verified", settings().oidc_trust_email)
    if verified is not True and verified != "true":  # some providers send the word
        raise _refused("it does not say that its e-mail address is verified")
    return email.lower()


@lru_cache(maxsize=4)
def _keys(issuer: str) -> jwt.PyJWKClient:
    """The provider's public keys, which the client keeps for some minutes and fetches anew for an unknown one."""
    found = httpx.get(
        f"{issuer.rstrip('/')}/.well-known/openid-configuration", timeout=TIMEOUT_S, follow_redirects=True
    )
    found.raise_for_status()
    return jwt.PyJWKClient(found.json()["jwks_uri"], timeout=TIMEOUT_S)


def _refused(why: str) -> AppError:
    return AppError(f"The sign-in token is not valid: {why}. Sign in again.", status=401, code="invalid_token")
