"""Keys that tokens are signed with: fixed ones, or those of an identity provider, fetched now and then.

A key bears its algorithm, by its kind: a token cannot choose one, and a public key is never taken for a secret.
"""

import asyncio
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tusfm.domain.errors import KeysUnavailable

LEAST_SECRET_BYTES = 32  # RFC 7518, 3.2: as long as the hash
LEAST_RSA_BITS = 2048  # RFC 7518, 3.3
MOST_KEYS = 64
PEM = re.compile(r"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.DOTALL)

FETCH_SECONDS = 5.0
FETCH_BYTES = 256 * 1024
REFRESH_SECONDS = 300.0
AGAIN_SECONDS = 10.0  # after a fetch that failed; and how often tokens of unknown keys may cause one
STALE_SECONDS = 86400.0  # keys that could not be fetched again for so long are trusted no more

log = logging.getLogger(__name__)


class BadKey(ValueError):
    """A key cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key, the one algorithm that it is for, and its id, if it has one."""

    algorithm: str
    key: Any
    id: str | None = None


class KeySet(Protocol):
    """Where keys come from."""

    async def find(self, algorithm: object, key_id: object) -> Sequence[VerifyingKey]:
        """Return the keys that a token of this header may be signed with. KeysUnavailable."""

    async def run(self) -> None:
        """Work beside requests until it is cancelled."""


def read_keys(text: str) -> list[VerifyingKey]:
    """Read a secret, public keys in PEM, or a key set (RFC 7517). BadKey."""
    text = text.strip()
    if text.startswith("{"):
        return read_key_set(text, secrets=True)
    if "-----BEGIN" in text:
        return [_public_key(block.encode()) for block in PEM.findall(text.replace("\\n", "\n"))]
    if len(text.encode()) < LEAST_SECRET_BYTES:
        msg = f"a secret for HS256 has {LEAST_SECRET_BYTES} bytes or more"
        raise BadKey(msg)
    return [VerifyingKey("HS256", text.encode())]


def _public_key(pem: bytes) -> VerifyingKey:
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        msg = "a PEM block must be a public key (BEGIN PUBLIC KEY)"
        raise BadKey(msg) from None
    return VerifyingKey(_algorithm(key), key)


def _algorithm(key: object) -> str:
    """Return the algorithm that this kind of key is for. BadKey."""
    if isinstance(key, RSAPublicKey) and key.key_size >= LEAST_RSA_BITS:
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    if isinstance(key, Ed25519PublicKey):
        return "EdDSA"
    if isinstance(key, bytes) and len(key) >= LEAST_SECRET_BYTES:
        return "HS256"
    msg = (
        f"a key must be RSA of {LEAST_RSA_BITS} bits or more, EC of P-256, Ed25519, or a secret of {LEAST_SECRET_BYTES} bytes"
    )
    raise BadKey(msg)


def read_key_set(text: str, *, secrets: bool) -> list[VerifyingKey]:
    """Read the keys of a set that we can use; *secrets*: whether those for HMAC count, which no address may give. BadKey."""
    try:
        listed = json.loads(text)["keys"][:MOST_KEYS]
    except (ValueError, TypeError, KeyError, RecursionError):
        msg = "a key set must be JSON with 'keys' in it"
        raise BadKey(msg) from None
    found = [key for one in listed if (key := _from_set(one)) and (secrets or key.algorithm != "HS256")]
    if not found:
        msg = "a key set must have a key for RS256, ES256, EdDSA or, in a file, HS256"
        raise BadKey(msg)
    return found


def _from_set(listed: Any) -> VerifyingKey | None:  # noqa: ANN401  whatever stood there
    """Read one key; None for those of other uses and algorithms, which may stand in any set."""
    try:
        made = jwt.PyJWK(listed)
        algorithm = _algorithm(made.key)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return None
    if made.algorithm_name != algorithm or made.public_key_use not in {None, "sig"}:
        return None
    return VerifyingKey(algorithm, made.key, made.key_id)


def _fitting(keys: Sequence[VerifyingKey], algorithm: object, key_id: object) -> list[VerifyingKey]:
    """Choose by algorithm and, where both have one, by id."""
    return [key for key in keys if key.algorithm == algorithm and (key_id is None or key.id in {None, key_id})]


class FixedKeys:
    """Keys that stand in the settings."""

    def __init__(self, keys: Sequence[VerifyingKey]) -> None:
        """Take them."""
        self._keys = keys

    async def find(self, algorithm: object, key_id: object) -> Sequence[VerifyingKey]:
        """Choose."""
        return _fitting(self._keys, algorithm, key_id)

    async def run(self) -> None:
        """Wait: there is nothing to do."""
        await asyncio.Event().wait()


def _since(moment: float) -> float:
    return asyncio.get_running_loop().time() - moment


class FetchedKeys:
    """Keys of an address, fetched every five minutes beside requests, and when a token names one that is not known.

    Tokens of unknown keys cause a fetch every ten seconds at most, which all requests share. While the address is away the
    keys that are there go on for a day.
    """

    def __init__(self, url: str) -> None:
        """Take the address; nothing is fetched yet."""
        self._url = url
        self._keys: list[VerifyingKey] = []
        self._fetched = self._tried = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, algorithm: object, key_id: object) -> Sequence[VerifyingKey]:
        """Choose among the keys that are here, and among those of the address if none of them fits."""
        found = [] if self._stale else _fitting(self._keys, algorithm, key_id)
        if not found and (self._fetching or _since(self._tried) >= AGAIN_SECONDS):
            await self._fetch()
            found = _fitting(self._keys, algorithm, key_id)
        if self._stale:
            msg = "the keys of TUSFM_JWT_JWKS_URL could not be fetched"
            raise KeysUnavailable(msg)
        return found

    @property
    def _stale(self) -> bool:
        return _since(self._fetched) >= STALE_SECONDS

    async def run(self) -> None:
        """Fetch now and then."""
        while True:
            await self._fetch()
            fresh = self._fetched >= self._tried
            await asyncio.sleep(REFRESH_SECONDS if fresh else AGAIN_SECONDS)

    async def _fetch(self) -> None:
        """Fetch, or wait for the fetch that is under way; one that fails leaves the keys as they are."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._try())
        await asyncio.shield(self._fetching)

    async def _try(self) -> None:
        self._tried = asyncio.get_running_loop().time()
        try:
            self._keys = read_key_set(await self._read(), secrets=False)
            self._fetched = asyncio.get_running_loop().time()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.warning("the keys of TUSFM_JWT_JWKS_URL could not be fetched: %s", str(error) or type(error).__name__)
        finally:
            self._fetching = None

    async def _read(self) -> str:
        """Read the document, bounded in time and size; a redirection is not followed. BadKey."""
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self._url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:  # noqa: PLR2004  OK
                msg = f"the answer was {answer.status}"
                raise BadKey(msg)
            data = bytearray()
            async for piece in answer.content.iter_any():
                data += piece
                if len(data) > FETCH_BYTES:
                    msg = f"the answer has more than {FETCH_BYTES} bytes"
                    raise BadKey(msg)
        return data.decode()
