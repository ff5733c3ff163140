"""The two shapes that every answer has."""

import json
from collections.abc import Mapping, Sequence

from aiohttp import hdrs, web

JSON = "application/json"  # exactly: without a charset


def success(data: Mapping[str, object], message: str = "") -> web.Response:
    """Answer with what was asked for; *data*'s members keep their order."""
    return _answer(200, {"data": data, "message": message, "success": True}, {})


def failure(
    status: int, message: str = "", errors: Sequence[str] = (), headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with one message, or with what is wrong with a form."""
    return _answer(status, {"errors": list(errors), "message": message, "success": False}, headers or {})


def _answer(status: int, envelope: Mapping[str, object], headers: Mapping[str, str]) -> web.Response:
    body = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
    return web.Response(status=status, body=body, headers={**headers, hdrs.CONTENT_TYPE: JSON})
