"""Who tells owners by their credentials: chosen by TUSFM_AUTH."""

from pathlib import Path
from typing import TYPE_CHECKING

from tusfm.adapters.access_keys import KeyAuthenticator
from tusfm.ports.access import Authenticator, Keys
from tusfm.settings import Settings, Unusable

if TYPE_CHECKING:
    from tusfm.adapters.jwt_keys import KeySet


def authenticator(settings: Settings, keys: Keys) -> Authenticator | None:
    """Choose who tells owners by their credentials; None where whoever has a URL may use it. Unusable."""
    if settings.auth == "apikey":
        return KeyAuthenticator(keys)
    if settings.auth == "jwt":
        from tusfm.adapters.access_jwt import JwtAuthenticator  # noqa: PLC0415  slow to load, and often not needed

        return JwtAuthenticator(signing_keys(settings), settings.jwt_audience, settings.jwt_issuer)
    return None


def signing_keys(settings: Settings) -> "KeySet":
    """Read what tokens are signed with, or say where it is to be fetched. Unusable."""
    from tusfm.adapters.jwt_keys import BadKey, FetchedKeys, FixedKeys, read_keys  # noqa: PLC0415  slow to load, and often not needed

    if settings.jwt_jwks_url is not None:
        return FetchedKeys(settings.jwt_jwks_url)
    name = "TUSFM_JWT_KEY" if settings.jwt_key_file is None else "TUSFM_JWT_KEY_FILE"
    try:
        text = settings.jwt_key if settings.jwt_key_file is None else Path(settings.jwt_key_file).read_text()
        return FixedKeys(read_keys(text))
    except BadKey as error:
        msg = f"{name} cannot be used: {error}."
        raise Unusable(msg) from error
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{name} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}."
        raise Unusable(msg) from error
