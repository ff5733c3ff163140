"""Bearer tokens that are JWTs (RFC 7519): who made them shows in the signature, whose they are in the claims."""

import logging
from collections.abc import Mapping
from typing import Any

import jwt

from tusfm.adapters.jwt_keys import KeySet
from tusfm.domain.access import Grant, is_owner, limited
from tusfm.domain.errors import Unauthenticated

MOST_TOKEN_BYTES = 8192
SKEW_SECONDS = 30  # between the issuer's clock and ours
LIMITS = "tusfm"
"""The claim that narrows what the owner may do."""
BROKEN = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""What PyJWT raises over a token that was made to break it."""

log = logging.getLogger(__name__)


def _not_valid() -> Unauthenticated:
    return Unauthenticated("The token is not valid.", given=True)


class JwtAuthenticator:
    """Implements ports.access.Authenticator."""

    def __init__(self, keys: KeySet, audience: str | None, issuer: str | None) -> None:
        """Take the keys, and what `aud` and `iss` have to be; None: anything."""
        self._keys = keys
        self._audience = audience
        self._issuer = issuer

    async def grant(self, credential: str) -> Grant:
        """Verify the token, and read owner and limits out of its claims."""
        header = _header(credential)
        for key in await self._keys.find(header.get("alg"), header.get("kid")):
            try:
                return _granted(self._claims(credential, key.algorithm, key.key))
            except jwt.ExpiredSignatureError:
                msg = "The token has expired."
                raise Unauthenticated(msg, given=True) from None
            except jwt.InvalidSignatureError:
                continue
            except BROKEN as error:
                log.debug("a token was refused: %s", type(error).__name__)
                raise _not_valid() from None
        raise _not_valid()

    def _claims(self, token: str, algorithm: str, key: Any) -> Mapping[str, Any]:  # noqa: ANN401  each algorithm has its kind
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=SKEW_SECONDS,
            options={
                "require": ["exp", "sub"],
                "verify_aud": self._audience is not None,
                "verify_iss": self._issuer is not None,
            },
        )

    async def run(self) -> None:
        """Keep the keys."""
        await self._keys.run()


def _header(token: str) -> Mapping[str, Any]:
    """Read what the token says of itself, which nobody has verified. Unauthenticated.

    A header that asks for what we do not know (`crit`) is refused (RFC 7515, 4.1.11).
    """
    if len(token) > MOST_TOKEN_BYTES:
        raise _not_valid()
    try:
        header = jwt.get_unverified_header(token)
    except BROKEN:
        raise _not_valid() from None
    if "crit" in header:
        raise _not_valid()
    return header


def _granted(claims: Mapping[str, Any]) -> Grant:
    limits = claims.get(LIMITS, {})
    if not is_owner(claims["sub"]) or not isinstance(limits, dict):
        msg = "sub or limits cannot be read"
        raise ValueError(msg)
    return limited(claims["sub"], limits)
