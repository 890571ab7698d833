"""The page that says call by call what is emulated, and what can be switched.

``python -m transcription_pipeline.emulators.coverage docs/emulators.md`` writes it; with ``--check``
it only says whether the page is true. Calls come from ``documented.py`` and from the services' own
routes, settings and their meanings from the services' settings classes.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from pathlib import Path

import msgspec
from starlette.routing import compile_path

from transcription_pipeline.emulators.backstage import Service
from transcription_pipeline.emulators.documented import DOCUMENTS, Call
from transcription_pipeline.emulators.server import PROVIDERS, make_service
from transcription_pipeline.emulators.speech import SpeechSettings

_HEAD = """\
# What the emulators do

Made by `python -m transcription_pipeline.emulators.coverage`; do not edit. Every emulated service
answers the calls marked *yes* as its vendor documents them, those marked *partly* with the
exception that is noted, and refuses all others as it refuses unknown paths. `tp emulate NAME -s
SETTING=VALUE` starts one with other settings; `POST /_control/settings` changes them while it runs.
Each also serves `/_control/` (health, invoice, requests, faults, clock, settings, reset), which is
no vendor's.
"""


def make_page() -> str:
    """Return the page as Markdown."""
    services = "".join(_describe(make_service(name)) for name in PROVIDERS)
    return f"{_HEAD}{services}\n## Settings of all of them\n\n{_table_settings(SpeechSettings())}"


def find_route(service: Service, call: Call) -> tuple[str, str] | None:
    """Find path and method of the route that serves a documented call; None: there is none."""
    for path, methods in service.endpoints().items():
        if call.method in methods and compile_path(path)[0].match(call.example_path):
            return path, call.method
    return None


def _describe(service: Service) -> str:
    documents = DOCUMENTS[service.name]
    lines = [f"\n## {service.name}\n", "| call | operation | what | emulated | note |"]
    lines.append("|---|---|---|---|---|")
    named = set()
    for call in documents.calls:
        route, state, operation = find_route(service, call), "no", ""
        if route is not None:
            named.add(route)
            state = "partly" if call.is_partly else "yes"
            operation = f"`{service.operation_of(call.method, call.example_path)}`"
        lines.append(_row(f"`{call.method} {call.path}`", operation, call.what, state, call.note))
    for path, methods in service.endpoints().items():
        for method in methods:
            if (path, method) not in named:
                operation = f"`{service.operation_of(method, path)}`"
                cells = ("", "yes", "no document names it")
                lines.append(_row(f"`{method} {path}`", operation, *cells))
    lines.append(f"\nWebhooks: {documents.webhooks}.\n")
    return "\n".join(lines) + "\n" + _table_settings(service.settings)


def _table_settings(settings: msgspec.Struct) -> str:
    lines = ["| setting | default | type | meaning |", "|---|---|---|---|"]
    defaults = msgspec.to_builtins(settings)
    for name, (kind, meaning) in list_settings(type(settings)).items():
        default = msgspec.json.encode(defaults[name]).decode()
        lines.append(_row(f"`{name}`", f"`{default}`", f"`{kind}`", meaning))
    return "\n".join(lines) + "\n"


def list_settings(kind: type[msgspec.Struct]) -> dict[str, tuple[str, str]]:
    """List type and meaning, by name, of the settings a class has beyond those it inherits."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    body, found = definition.body, {}
    for statement, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            told = ast.unparse(statement.annotation), _text_of(after)
            found[statement.target.id] = told
    return found


def _text_of(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return " ".join(str(statement.value.value).replace("``", "`").split())
    return ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def main(arguments: list[str]) -> int:
    """Write the page, or check it."""
    file, page = Path(arguments[-1]), make_page()
    if "--check" in arguments:
        is_true = file.exists() and file.read_text() == page
        if not is_true:
            sys.stderr.write(f"{file}: not what the emulators say; make it anew\n")
        return int(not is_true)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
