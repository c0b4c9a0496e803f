"""From an application to a listening process."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI

from qmachina.errors import RefusedError
from serving.settings import Settings

#: What a client may say fits this by far.
_MAX_CLIENT_MESSAGE = 65_536


def listen(settings: Settings) -> socket.socket:
    """Take the port, before anything slow begins.

    Raises
    ------
    RefusedError
        If it is taken or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=512)
    except OSError as e:
        raise RefusedError(
            f"cannot listen at port {settings.port}: {e.strerror or e}",
            subject=settings.host,
            remedy="Stop what uses the port, or give another with --port",
        ) from e


def address(settings: Settings, listening: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listening.getsockname()[1]}"


def server_of(app: FastAPI) -> uvicorn.Server:
    """Return the server; ``run(sockets=[…])`` serves until interrupted."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # addresses may carry a token
        server_header=False,
        # It costs 290 us a client and bin, for bytes that hardly shrink.
        ws_per_message_deflate=False,
        ws_max_size=_MAX_CLIENT_MESSAGE,
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)
