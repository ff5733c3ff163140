"""What a token must be: signed by one of our keys, in time, for us, and readable; anything else is refused."""

import hmac
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.access.tokens import ED_KEY, OTHER_SECRET, RSA_KEY, SECRET, SIGNERS, forged, in_set, public, segment, token
from tusfm.adapters.access_jwt import MOST_TOKEN_BYTES, JwtAuthenticator
from tusfm.adapters.jwt_keys import BadKey, FixedKeys, read_key_set, read_keys
from tusfm.domain.access import Grant
from tusfm.domain.errors import Unauthenticated

HS256 = segment(b'{"alg":"HS256"}')


def authenticator(keys: str = SECRET, audience: str | None = None, issuer: str | None = None) -> JwtAuthenticator:
    """Make one with the keys of a text."""
    return JwtAuthenticator(FixedKeys(read_keys(keys)), audience, issuer)


async def refused(one: JwtAuthenticator, credential: str) -> str:
    """Return why a token is refused."""
    with pytest.raises(Unauthenticated) as raised:
        await one.grant(credential)
    assert raised.value.given
    assert raised.value.__cause__ is None
    return str(raised.value)


class TestSignatures:
    """Who made it."""

    @pytest.mark.parametrize("algorithm", SIGNERS)
    async def test_each_algorithm(self, algorithm: str) -> None:
        """HS256, RS256, ES256 and EdDSA are verified with the key of a text, and by no other key."""
        key = SIGNERS[algorithm]
        one = authenticator(key if isinstance(key, str) else public(key))
        assert await one.grant(token(key, algorithm)) == Grant(owner="bob")
        other = authenticator(OTHER_SECRET if isinstance(key, str) else public(_another(algorithm)))
        assert await refused(other, token(key, algorithm)) == "The token is not valid."

    async def test_several_keys_in_one_text(self) -> None:
        """While keys are changed both the old and the new one are good."""
        one = authenticator(public(RSA_KEY) + public(_another("RS256")) + public(ED_KEY))
        assert await one.grant(token(RSA_KEY, "RS256"))
        assert await one.grant(token(ED_KEY, "EdDSA"))

    @pytest.mark.parametrize("word", ["none", "None", "NONE", "", None, ["HS256"], {"a": 1}, 5])
    async def test_a_token_without_a_signature(self, word: Any) -> None:
        """`alg: none`, however it is written, is refused."""
        assert await refused(authenticator(), forged({"alg": word, "typ": "JWT"}, _claims())) == "The token is not valid."

    async def test_a_public_key_is_no_secret(self) -> None:
        """A token signed with HMAC by the text of our public key is refused: the key's kind says the algorithm."""
        text = public(RSA_KEY)
        said = f"{HS256}.{segment(json.dumps(_claims()).encode())}"
        for secret in (text.encode(), text.strip().encode()):
            signature = hmac.digest(secret, said.encode(), "sha256")
            assert await refused(authenticator(text), f"{said}.{segment(signature)}") == "The token is not valid."

    async def test_another_algorithm_with_the_right_key(self) -> None:
        """RS512, PS256 and HS512 by the right key are not among those that count."""
        assert await refused(authenticator(public(RSA_KEY)), token(RSA_KEY, "RS512"))
        assert await refused(authenticator(public(RSA_KEY)), token(RSA_KEY, "PS256"))
        long = SECRET * 2
        assert await refused(authenticator(long), token(long, "HS512"))

    @pytest.mark.parametrize("kid", ["../../../dev/null", "' OR 1=1 --", "http://127.0.0.1/keys", 7, ["a"], {}, "a\u0000b"])
    async def test_a_key_id_is_only_ever_compared(self, kid: Any) -> None:
        """A `kid` that is a path, SQL, a URL or no text opens nothing: it chooses among the keys that are there."""
        one = authenticator(json.dumps({"keys": [in_set(RSA_KEY, "a")]}))
        assert await refused(one, forged({"alg": "RS256", "kid": kid}, _claims(), b"x"))
        assert await refused(one, forged({"alg": "HS256", "kid": kid}, _claims(), hmac.digest(b"", b"", "sha256")))

    async def test_keys_that_a_token_brings_along(self) -> None:
        """`jwk`, `jku`, `x5u` and `x5c` of a token's own header mean nothing."""
        own = {"jwk": in_set(ED_KEY), "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/", "x5c": ["AAAA"]}
        assert await refused(authenticator(), token(ED_KEY, "EdDSA", own))

    async def test_what_must_be_understood(self) -> None:
        """A header with `crit` asks for what we do not know."""
        assert await refused(authenticator(), token(headers={"crit": ["exp"], "exp": 1}))


class TestClaims:
    """Whose it is, and for how long."""

    async def test_time(self) -> None:
        """A token ends, or begins, by the issuer's clock, which may differ from ours by 30 seconds."""
        now = int(time.time())
        one = authenticator()
        assert await one.grant(token(exp=now - 20))
        assert await refused(one, token(exp=now - 40)) == "The token has expired."
        assert await one.grant(token(nbf=now + 20))
        assert await refused(one, token(nbf=now + 40)) == "The token is not valid."
        assert await one.grant(token(iat=now + 20))
        assert await refused(one, token(iat=now + 40)) == "The token is not valid."

    @pytest.mark.parametrize("exp", [None, "soon", [], "1e400", float("inf"), float("nan"), -(10**400)], ids=str)
    async def test_a_token_without_an_end(self, exp: Any) -> None:
        """A token that does not say when it ends, or says it so that nobody can read it, is refused."""
        assert await refused(authenticator(), token(exp=exp))

    async def test_audience_and_issuer(self) -> None:
        """With TUSFM_JWT_AUDIENCE and TUSFM_JWT_ISSUER a token must be by the one, for the other."""
        one = authenticator(audience="tusfm", issuer="https://id.example")
        right: dict[str, Any] = {"aud": "tusfm", "iss": "https://id.example"}
        assert await one.grant(token(**right))
        assert await one.grant(token(**{**right, "aud": ["mail", "tusfm"]}))
        wrong: dict[str, Any]
        for wrong in ({"aud": "mail"}, {"aud": None}, {"aud": []}, {"aud": 5}, {"iss": "https://x.example"}, {"iss": None}):
            assert await refused(one, token(**{**right, **wrong}))
        assert await authenticator().grant(token(aud="mail", iss="anybody"))

    @pytest.mark.parametrize(
        "sub", [None, "", " bob", "bob ", "bob\n", "b" * 256, 5, ["bob"], {"a": 1}, "\u0000", "\ud800", "a\u202eb"]
    )
    async def test_owners_that_cannot_be_compared(self, sub: Any) -> None:
        """An owner's name has 1 to 255 printable characters and no blanks at its ends."""
        assert await refused(authenticator(), token(sub=sub)) == "The token is not valid."

    async def test_owners_of_any_script(self) -> None:
        """Names may be in any script, and hold blanks."""
        assert (await authenticator().grant(token(sub="Zoë 李"))).owner == "Zoë 李"

    async def test_limits(self) -> None:
        """The claim `tusfm` narrows what the owner may do."""
        limits = {"max_size": 5, "types": ["image/*", "Application/PDF"], "expire_after": 90}
        expected = Grant(owner="bob", max_size=5, types=("image/*", "application/pdf"), lifetime=90)
        assert await authenticator().grant(token(tusfm=limits)) == expected

    @pytest.mark.parametrize(
        "limits",
        [
            {"maxsize": 5},
            {"max_size": 0},
            {"max_size": -1},
            {"max_size": "5"},
            {"max_size": 1.5},
            {"max_size": True},
            {"max_size": 2**63},
            {"types": []},
            {"types": "image/png"},
            {"types": ["png"]},
            {"types": ["*/*"], "x": 1},
            {"types": [5]},
            {"expire_after": 59},
            {"expire_after": float("nan")},
            {"expire_after": float("inf")},
            {"expire_after": 1e15},
            [],
            "max_size",
            5,
        ],
        ids=str,
    )
    async def test_limits_that_cannot_be_read(self, limits: Any) -> None:
        """A slip in a limit refuses the token: it must not become no limit."""
        assert await refused(authenticator(), token(tusfm=limits)) == "The token is not valid."


class TestShapes:
    """What is no token at all."""

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            "e30.e30.e30",
            "é.é.é",
            segment(b"[" * 4000) + ".e30.e30",
            segment(b'{"alg":"HS256","x":' + b"[" * 4000) + ".e30.e30",
            segment(b'"HS256"') + ".e30.e30",
            segment(b"\xff\xfe") + ".e30.e30",
            segment(b'{"alg":"HS256","b64":false,"crit":["b64"]}') + "..",
        ],
        ids=lambda text: text[:20],
    )
    async def test_it_is_refused(self, text: str) -> None:
        """Whatever stands there, the answer is the same sentence."""
        assert await refused(authenticator(), text) == "The token is not valid."

    async def test_signed_and_nested_too_deep(self) -> None:
        """Claims that no reader can read are refused, even if they are signed."""
        said = f"{HS256}.{segment(b'[' * 4000)}"
        signature = segment(hmac.digest(SECRET.encode(), said.encode(), "sha256"))
        assert await refused(authenticator(), f"{said}.{signature}")

    async def test_a_huge_token(self) -> None:
        """A token over 8 KiB is refused before anything of it is read."""
        assert await refused(authenticator(), token(more="x" * MOST_TOKEN_BYTES))
        assert await authenticator().grant(token(more="x" * 4000))


class TestKeys:
    """What can be set as a key."""

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "short",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            ED_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            public(rsa.generate_private_key(65537, 1024)),  # noqa: S505  the point of the test
            public(ec.generate_private_key(ec.SECP384R1())),
            "{",
            '{"keys": 5}',
            '{"keys": []}',
            json.dumps({"keys": [in_set(RSA_KEY, use="enc"), in_set(RSA_KEY, alg="RS512"), in_set("short"), 5, None, {}]}),
        ],
        ids=lambda text: text[:30],
    )
    def test_what_cannot_be_used_is_a_sentence(self, text: str) -> None:
        """Short secrets, short or private keys, other curves, sets without a key for us."""
        with pytest.raises(BadKey):
            read_keys(text)

    def test_a_key_set_over_the_network_has_no_secrets(self) -> None:
        """Whoever can read a set of an address could sign with a secret in it; a file may have one."""
        text = json.dumps({"keys": [in_set(SECRET, "s"), in_set(ED_KEY, "e")]})
        assert [key.algorithm for key in read_key_set(text, secrets=False)] == ["EdDSA"]
        assert [key.algorithm for key in read_keys(text)] == ["HS256", "EdDSA"]

    def test_a_key_on_one_line(self) -> None:
        """A public key on one line, as environment files have it, is read."""
        assert read_keys(public(RSA_KEY).replace("\n", "\\n"))[0].algorithm == "RS256"


def _claims() -> dict[str, Any]:
    return {"sub": "bob", "exp": int(time.time()) + 60}


def _another(algorithm: str) -> Any:
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else Ed25519PrivateKey.generate()
