"""The application: transport around the core's one pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from serving import routes
from serving.catalogue import Catalogue
from serving.guard import Guard
from serving.hub import Hub
from serving.metrics import Metrics
from serving.readiness import Readiness
from serving.settings import Settings


def create_app(catalogue: Catalogue, settings: Settings) -> FastAPI:
    """Return the application; nothing runs before its lifespan begins.

    Parameters
    ----------
    catalogue : Catalogue
        What can be streamed.
    settings : Settings
        How.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        readiness = Readiness(catalogue)
        metrics = Metrics()
        hub = Hub(catalogue, settings, metrics, readiness.check)
        app.state.catalogue = catalogue
        app.state.readiness = readiness
        app.state.metrics = metrics
        app.state.hub = hub
        readiness.start()
        watching = asyncio.create_task(hub.watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await hub.close()
            await asyncio.to_thread(readiness.close)

    app = FastAPI(
        title="qMachina serving",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    routes.install(app)
    app.add_middleware(Guard, settings=settings)
    return app
