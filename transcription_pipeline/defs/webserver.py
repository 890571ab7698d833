"""Dagster's UI, read-only unless told otherwise, behind a guard against other people's web pages.

Dagster's webserver has no login, answers mutations sent by GET, and looks at neither Origin nor
Host: on loopback alone any page in a browser on this machine could launch runs. So it is served
read-only, and what a foreign page can send is refused before Dagster sees it. ``tp ui`` starts this;
a deployment puts its own login in front.

The pinned release's own modules are used (``dagster._core``): there is no public way to put anything
in front of the application.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from urllib.parse import urlsplit

import click
import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

GRAPHQL = "/graphql"


class Guard:
    """Lets through what this UI's own pages send, and nothing that another site's page could."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], may_launch: bool) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._may_launch = may_launch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        objection = self._find_objection(scope) if scope["type"] != "lifespan" else None
        if objection is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403, "reason": objection})
        else:
            await PlainTextResponse(objection, 403)(scope, receive, send)

    def _find_objection(self, scope: Scope) -> str | None:
        headers, path = Headers(scope=scope), scope["path"].rstrip("/")
        host = headers.get("host", "")
        if host not in self._hosts:
            return "this host name is not served"  # a name that was bent to our address
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return "another site's page may not ask"
        if scope["type"] == "websocket":
            return None
        if scope["method"] in {"GET", "HEAD"}:
            return "ask by POST" if path == GRAPHQL else None
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            return "another site's page may not ask"
        if path != GRAPHQL and not self._may_launch:
            return "read-only"
        if headers.get("content-type", "").partition(";")[0] != "application/json":
            return "only JSON is taken"  # a form of another site needs no permission to be sent
        return None


@click.command()
@click.option("-w", "--workspace", default="workspace.yaml", show_default=True)
@click.option("-h", "--host", default="127.0.0.1", show_default=True)
@click.option("-p", "--port", default=3000, show_default=True)
@click.option("--name", "names", multiple=True, help="Also served under this HOST[:PORT].")
@click.option("--launch", "may_launch", is_flag=True, help="Let the UI launch runs.")
def main(workspace: str, host: str, port: int, names: tuple[str, ...], may_launch: bool) -> None:
    """Serve the UI of the instance of ``DAGSTER_HOME``."""
    hosts = {f"{name}:{port}" for name in (host, "127.0.0.1", "localhost")} | set(names)
    with (
        DagsterInstance.get() as instance,
        WorkspaceProcessContext(
            instance,
            workspace_load_target=WorkspaceFileTarget([workspace]),
            read_only=not may_launch,
            code_server_log_level="warning",
        ) as context,
    ):
        app = create_app_from_workspace_process_context(context)
        guarded = Guard(app, hosts=hosts, may_launch=may_launch)
        uvicorn.run(guarded, host=host, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    sys.exit(main())
