"""Keys and tokens as an identity provider would make them."""

import base64
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SECRET = "a secret of the tests, and long enough"
OTHER_SECRET = "another secret, which nobody has set up"
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
SIGNERS: dict[str, Any] = {"HS256": SECRET, "RS256": RSA_KEY, "ES256": EC_KEY, "EdDSA": ED_KEY}


def public(key: Any) -> str:
    """Write a public key in PEM."""
    written: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return written.decode()


def token(key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    """Sign a token that is good for a minute; claims of None are left out."""
    said = {"sub": "bob", "exp": int(time.time()) + 60, **claims}
    return jwt.encode({name: value for name, value in said.items() if value is not None}, key, algorithm, headers)


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """Put a token together that no library would make."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(segment(part) for part in parts)


def segment(data: bytes) -> str:
    """Write base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def in_set(key: Any, key_id: str | None = None, **more: Any) -> dict[str, Any]:
    """Write a key as a key set has it; a secret is text."""
    if isinstance(key, str):
        written = {"kty": "oct", "k": segment(key.encode())}
    else:
        kinds: dict[type, Any] = {
            rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
            ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
            ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm,
        }
        kind = next(kind for base, kind in kinds.items() if isinstance(key, base))
        written = kind.to_jwk(key.public_key(), as_dict=True)
    return {**{name: value for name, value in written.items() if name != "key_ops"}, "kid": key_id, **more}
