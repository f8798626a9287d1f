"""The operator's HTTP port: ``/metrics``, ``/healthz`` while the relay runs, ``/readyz`` while it admits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web

from relay.config import cannot_listen

from .metrics import CONTENT_TYPE, Figures, exposition

CLOSING_LIMIT = 1.0


class HealthServer:
    """A running server; made by ``start``. ``figures`` is asked anew for every answer."""

    def __init__(self, figures: Callable[[], Awaitable[Figures]]) -> None:
        self._figures = figures
        self._runner: web.AppRunner | None = None
        self.url = ""

    @classmethod
    async def start(cls, host: str, port: int, figures: Callable[[], Awaitable[Figures]]) -> Self:
        """Listen on ``host``:``port``, 0 for any. Raises ``AddressInUse`` and ``AddressUnusable``."""
        server = cls(figures)
        app = web.Application()
        app.router.add_get("/metrics", server._metrics)
        app.router.add_get("/healthz", server._healthz)
        app.router.add_get("/readyz", server._readyz)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSING_LIMIT)
        await runner.setup()
        shown = f"[{host}]" if ":" in host else host
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            raise cannot_listen(error, host, port) from None
        server._runner = runner
        server.url = f"http://{shown}:{runner.addresses[0][1]}"
        return server

    async def close(self) -> None:
        """Stop answering."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=exposition(await self._figures()), headers={"Content-Type": CONTENT_TYPE})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        figures = await self._figures()
        if figures.draining:
            return web.Response(status=503, text="draining\n")
        if figures.full:
            return web.Response(status=503, text="full\n")
        return web.Response(text="ready\n")
