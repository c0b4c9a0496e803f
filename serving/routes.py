"""What the process answers: the stream, the page, health and the list of servings."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect, WebSocketState

from qmachina.errors import QMachinaError
from serving import bundle, frames, wire
from serving.subscription import FAILED, REFUSED, Subscription

log = logging.getLogger("serving")
router = APIRouter()

#: An alias or a serving id; longer or stranger names exist nowhere.
_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")
STATIC = Path(__file__).parent / "static"


class Listing(BaseModel):
    """One published version."""

    serving_id: str
    name: str | None
    verdict: str
    published_at_utc: str
    withdrawn: bool


class AliasListing(BaseModel):
    """Where one alias points."""

    alias: str
    serving_id: str
    verdict: str
    stream: str = Field(description="Path of the stream.")
    page: str = Field(description="Path of the page.")


class Servings(BaseModel):
    """Everything that can be streamed."""

    aliases: list[AliasListing]
    versions: list[Listing]


class Health(BaseModel):
    """Whether the process is alive or ready, and why not."""

    status: str
    problems: list[str] = []


@router.get("/health")
async def health() -> Health:
    """Say that the process is alive."""
    return Health(status="alive")


@router.get("/ready", responses={503: {"model": Health}})
async def ready(connection: HTTPConnection) -> JSONResponse:
    """Say whether kernels are warm and all aliases compute what was evaluated."""
    problems = list(connection.app.state.readiness.problems)
    body = Health(status="not ready" if problems else "ready", problems=problems)
    return JSONResponse(body.model_dump(), 503 if problems else 200)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(connection: HTTPConnection) -> Response:
    """Return the counters as Prometheus text."""
    return Response(connection.app.state.metrics.text(), media_type="text/plain; version=0.0.4")


@router.get("/v1/servings")
def servings(connection: HTTPConnection) -> Servings:
    """List published versions and aliases with their verdicts."""
    catalogue = connection.app.state.catalogue
    listing = catalogue.listing()
    aliases = []
    for name, id_ in listing.aliases.items():
        verdict = catalogue.resolve(name).identity.verdict
        aliases.append(
            AliasListing(
                alias=name,
                serving_id=id_,
                verdict=verdict,
                stream=f"/v1/stream?serving={name}",
                page=f"/?serving={name}",
            )
        )
    versions = [
        Listing(
            serving_id=v.id,
            name=v.name,
            verdict=v.verdict,
            published_at_utc=v.published_at_utc,
            withdrawn=v.withdrawn,
        )
        for v in listing.versions
    ]
    return Servings(aliases=aliases, versions=versions)


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """Stream a serving version as ``docs/wire.md`` says."""
    await socket.accept()
    metrics = socket.app.state.metrics
    try:
        subscription = await socket.app.state.hub.join(_asked(socket))
    except QMachinaError as e:
        metrics.refusals += 1
        return await _close(socket, REFUSED, e.line(), told=False)
    except Exception as e:
        log.exception("setting up a stream failed")
        text = f"internal error: {type(e).__name__}"
        return await _close(socket, FAILED, text, told=False)
    metrics.connections += 1
    metrics.clients += 1
    try:
        await _serve(socket, subscription)
    finally:
        metrics.clients -= 1
        socket.app.state.hub.leave(subscription)


def _asked(socket: WebSocket) -> str:
    """Return the name a client asks for; refuse anything else it asks."""
    query = socket.query_params.multi_items()
    keys = [key for key, _ in query]
    if keys != ["serving"]:
        raise QMachinaError(
            "only the query parameter serving is accepted, once",
            subject="/v1/stream",
            expected="?serving=NAME",
            found=", ".join(keys)[:40] or "nothing",
        )
    name = query[0][1]
    if not _NAME.fullmatch(name):
        raise QMachinaError("not an alias or serving id", found=repr(name[:40]))
    return name


async def _serve(socket: WebSocket, subscription: Subscription) -> None:
    """Send and listen until either is over; leave no task behind."""
    sending = asyncio.create_task(subscription.run(socket))
    listening = asyncio.create_task(_listen(socket, subscription))
    tasks = {sending, listening}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    over = sending if sending in done else listening
    error = over.exception()
    if error is None:
        code, reason = over.result()
        await _close(socket, code, reason, told=over is sending)
    elif isinstance(error, QMachinaError):  # the client said something it may not say
        await _close(socket, REFUSED, error.line(), told=False)
    elif not isinstance(error, WebSocketDisconnect):
        log.error("a stream failed", exc_info=error)
        await _close(socket, FAILED, f"internal error: {type(error).__name__}", told=False)


async def _listen(socket: WebSocket, subscription: Subscription) -> tuple[int, str]:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        subscription.hear(frames.parse_client(message.get("text") or message.get("bytes") or b""))


async def _close(socket: WebSocket, code: int, reason: str, *, told: bool) -> None:
    """Say why, unless the client was told, and close."""
    if socket.client_state is not WebSocketState.CONNECTED:
        return
    try:
        if not told:
            await socket.send_text(wire.error(reason).encode())
        await socket.close(code, wire.close_reason(reason))
    except (WebSocketDisconnect, RuntimeError):
        pass  # it left first


@router.get("/{path:path}", include_in_schema=False)
def page(path: str) -> Response:
    """Send the page and its files."""
    asset = bundle.find(STATIC, path)
    if asset is None:
        return problem(404, "there is no such page")
    return Response(asset.body, media_type=asset.media_type, headers={"cache-control": asset.cache})


def problem(status: int, title: str, remedy: str | None = None) -> JSONResponse:
    """Return an error as problem+json."""
    body: dict[str, Any] = {"type": "about:blank", "status": status, "title": title}
    if remedy is not None:
        body["remedy"] = remedy
    return JSONResponse(body, status, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Add the routes and the answer to deliberate errors."""
    app.include_router(router)

    @app.exception_handler(QMachinaError)
    async def refused(connection: HTTPConnection, error: QMachinaError) -> Response:
        del connection
        return problem(409 if error.exit_code == 4 else 503, error.line(), error.remedy)
