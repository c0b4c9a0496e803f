"""Who may ask: host, origin and token are checked before anything else sees a request."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from serving.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "qmachina_token"
#: Answered without a token, because it says nothing: the process is alive.
_OPEN = frozenset({"/health"})

_HEADERS = tuple(
    (name.encode(), value.encode())
    for name, value in (
        (
            "content-security-policy",
            "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
            "object-src 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    )
)


class Guard:
    """Refuse strangers; add the security headers to every answer.

    * At a loopback address the ``Host`` must be one, or a page elsewhere could rebind its own
      name to this machine.
    * ``Origin``, where given, must be the host itself: no other site opens the stream.
    * With a token, ``Authorization: Bearer`` or the cookie must carry it. A browser gets the
      cookie by opening ``/?token=…`` once.

    Parameters
    ----------
    app : App
        What is guarded.
    settings : Settings
        Host and token.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if refusal is None:
                return await self._app(scope, receive, send)
            await receive()
            return await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        if (entered := self._entered(scope)) is not None:
            return await _answer(send_with_headers, 303, "", entered)
        if refusal is not None:
            return await _answer(send_with_headers, *refusal)
        await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "").lower()
        known = _LOCAL | {self._settings.host}
        if self._settings.loopback and urlsplit(f"//{host}").hostname not in known:
            return 421, "this server answers to the local machine only"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host:
            return 403, "requests from other sites are refused"
        if not self._known(headers) and scope["path"] not in _OPEN:
            return 401, "a token is required: Authorization: Bearer …, or open /?token=… once"
        return None

    def _known(self, headers: dict[str, str]) -> bool:
        if self._settings.token is None:
            return True
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = [bearer.strip()] if scheme.lower() == "bearer" else []
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        if cookie is not None:
            given.append(cookie.value)
        return any(self._right(token) for token in given)

    def _right(self, token: str) -> bool:
        assert self._settings.token is not None
        return hmac.compare_digest(token.encode(), self._settings.token.encode())

    def _entered(self, scope: Scope) -> list[tuple[bytes, bytes]] | None:
        """Return the headers that turn a right token in the address into a cookie."""
        if self._settings.token is None or scope["method"] != "GET" or scope["path"] != "/":
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        tokens = [value for key, value in query if key == "token"]
        if not tokens or not self._right(tokens[0]):
            return None
        rest = urlencode([pair for pair in query if pair[0] != "token"])
        cookie = f"{COOKIE}={self._settings.token}; HttpOnly; SameSite=Strict; Path=/"
        return [
            (b"location", f"/?{rest}".encode() if rest else b"/"),
            (b"set-cookie", cookie.encode()),
        ]


_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


async def _answer(
    send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    plain = (b"content-type", b"text/plain; charset=utf-8")
    await send(
        {"type": "http.response.start", "status": status, "headers": [plain, *(headers or [])]}
    )
    await send({"type": "http.response.body", "body": text.encode()})
