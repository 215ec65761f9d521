"""The application: endpoints, errors, edges; and the server that runs it."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from ci_migrate import __version__
from ci_migrate.server import pages
from ci_migrate.server.bodies import Health
from ci_migrate.server.connections import bounded_protocol
from ci_migrate.server.middleware import Edges
from ci_migrate.server.problems import Problem, documented, handle_problems
from ci_migrate.server.routes import router
from ci_migrate.server.service import Service
from ci_migrate.server.sessions import Sessions

GRACE = 20
"""Seconds that open calls are waited for when the service is told to stop."""


def create_app(service: Service) -> FastAPI:
    """The ASGI application on a service, which it closes at its end."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.recover)
        yield
        await run_in_threadpool(service.close)

    app = FastAPI(
        title="ci-migrate",
        version=__version__,
        description="The deploy gate for Alembic, over HTTP.",
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,  # clients that are generated would get two classes for each body
        responses={500: {"model": Problem}},
    )
    app.state.service = service
    app.state.sessions = Sessions()
    handle_problems(app)
    app.include_router(router)
    app.include_router(pages.router)

    @app.exception_handler(pages.LoginNeeded)
    async def _login(_request: Request, _error: Exception) -> Response:
        return pages.to("/login")

    @app.get("/healthz", responses={200: {"model": Health}, **documented(413)})
    async def healthz() -> Response:
        """The service answers; it says nothing of databases."""
        return JSONResponse({"status": "ok"})

    app.add_middleware(Edges, service=service)
    return app


class Server(uvicorn.Server):
    """Uvicorn, which tells the children to stop as soon as it is told itself: open calls are answered then."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._told = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Uvicorn's own handler, and ours; a second signal must not wait for the locks of the first."""
        if not self._told:
            self._told = True
            self._service.stop()
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once (TCP_NODELAY) only on sockets that say that they are TCP: otherwise an answer takes 40 ms
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(512)
    except BaseException:
        listening.close()
        raise
    return listening


def serve(service: Service, listening: socket.socket, *, trusted_proxy: str | None) -> None:
    """Answer calls until SIGTERM or Ctrl-C.

    Args:
        service: what works.
        listening: as `listen` made it.
        trusted_proxy: the address of the proxy whose X-Forwarded-For counts; None for none.
    """
    config = uvicorn.Config(
        create_app(service),
        access_log=False,  # queries hold tokens; the audit trail has the calls
        server_header=False,
        proxy_headers=trusted_proxy is not None,
        forwarded_allow_ips=trusted_proxy or "",
        timeout_graceful_shutdown=GRACE,
        http=bounded_protocol(),
        h11_max_incomplete_event_size=64 * 1024,  # the longest token stands in a query
        log_level="warning",
    )
    Server(config, service).run(sockets=[listening])
