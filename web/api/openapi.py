"""The OpenAPI 3.1 document, made from the table of operations and the models that validate."""

import ast
import asyncio
import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any, get_args, get_type_hints

import msgspec
from aiohttp import web

from jobs.words.contact_ids import MAX_CONTACT_ID, MIN_CONTACT_ID
from web.api.operation import JSON, Operation, Success
from web.http.problems import CONTENT_TYPE, RETRY_AFTER_S, TYPE_PREFIX, Kind, Problem

DOCUMENT = web.AppKey("document", partial[bytes])
"""Return the document, which is written when it is first asked for: that takes a tenth of a second."""

#: None in Python is null in JSON.
_NONE = re.compile(r"\bNone(?= (?:as|before|if|when|where|while)\b)")

_REF = "#/components/schemas/{name}"

#: What the parameters in addresses are.
_PATH_PARAMETERS = {
    "job_id": ("The job's ID.", {"type": "string", "minLength": 1}),
    "contact_id": (
        "A contact ID of the job.",
        {"type": "integer", "minimum": MIN_CONTACT_ID, "maximum": MAX_CONTACT_ID},
    ),
    "name": ("Name of the portal.", {"type": "string", "minLength": 1}),
}

#: Headers that take less than any text.
_HEADERS = {"Idempotency-Key": {"type": "string", "pattern": '^"?[A-Za-z0-9][A-Za-z0-9._-]{0,63}"?$'}}

_DESCRIPTION = """Deletes CRM contacts in bulk, with a ledger that records what became of each contact ID.

Errors are problem details (RFC 9457); their `type` is stable. Times are UTC. Unknown parameters, members of documents
and methods are refused, not ignored. Any request that breaks HTTP itself or a limit of the server is answered with 400,
408, 413, 417 or 431."""


async def openapi(request: web.Request) -> web.Response:
    """Answer with the document."""
    return web.Response(body=await asyncio.to_thread(request.app[DOCUMENT]), content_type=JSON)


def write_document(operations: Iterable[Operation], *, keys: bool) -> bytes:
    """Write the document as JSON."""
    return msgspec.json.format(msgspec.json.encode(document(operations, keys=keys)), indent=1)


def document(operations: Iterable[Operation], *, keys: bool) -> dict[str, Any]:
    """Make the document.

    Args:
        operations: the table.
        keys: whether callers need a key; without, nothing is said about security.
    """
    operations = tuple(operations)
    schemas = _Schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, keys=keys)
    components: dict[str, Any] = {"schemas": schemas.components}
    if keys:
        components["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "A key of the API."}
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "crm-sweep", "version": version("crm-sweep"), "description": _DESCRIPTION},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": paths,
        "components": components,
    }


def kinds_of(operation: Operation, *, keys: bool) -> list[Kind]:
    """Return everything that can go wrong with an operation, in the order of statuses."""
    kinds = {Kind.UNKNOWN_PARAMETER, Kind.INTERNAL, Kind.SYSTEM_ERROR, *operation.problems}
    if not keys:
        kinds = (kinds | {Kind.FOREIGN_ORIGIN}) - {Kind.TOO_MANY_CONTACTS}
    elif operation.scope is not None:
        kinds |= {Kind.NO_KEY, Kind.MISSING_SCOPE}
    if operation.asks_redis:
        kinds.add(Kind.REDIS_AWAY)
    if "{job_id}" in operation.path:
        kinds.add(Kind.UNKNOWN_JOB)
    if "{name}" in operation.path:
        kinds.add(Kind.UNKNOWN_PORTAL)
    if operation.bodies:
        kinds |= {Kind.BAD_JSON, Kind.BAD_BODY, Kind.SLOW_BODY, Kind.TOO_LARGE, Kind.WRONG_MEDIA_TYPE, Kind.INVALID}
    return sorted(kinds, key=lambda kind: (kind.status, kind.word))


class _Schemas:
    """The schemas of all types that operations name."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        types: list[Any] = [Problem]
        for operation in operations:
            types += [operation.query] if operation.query else []
            contents = [operation.bodies, *(answer.content for answer in operation.answers.values())]
            types += [kind for content in contents for kind in content.values() if not isinstance(kind, dict)]
        self._types = list(dict.fromkeys(types))
        found, self.components = msgspec.json.schema_components(self._types, ref_template=_REF)
        for kind in _structs(self._types):
            for name, text in _field_docstrings(kind).items():
                self.components[kind.__name__]["properties"][name].setdefault("description", text)
        self._found = dict(zip(map(repr, self._types), found, strict=True))

    def of(self, kind: Any) -> dict[str, Any]:
        """Return the schema of a type, or the schema that stands for itself."""
        return kind if isinstance(kind, dict) else self._found[repr(kind)]

    def fields(self, kind: type) -> Mapping[str, Any]:
        """Return the schema of each field of a struct, in the order of the struct."""
        properties: dict[str, Any] = self.components[kind.__name__]["properties"]
        return properties

    def required(self, kind: type) -> list[str]:
        """Return the fields of a struct that have to be there."""
        return list(self.components[kind.__name__]["required"])


def _structs(types: Iterable[Any]) -> Iterable[type]:
    """Return all structs that types are made of."""
    seen: set[type] = set()
    waiting: list[Any] = list(types)
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in seen:
            seen.add(kind)
            waiting += get_type_hints(kind, include_extras=True).values()
    return seen


def _field_docstrings(kind: type) -> dict[str, str]:
    """Return the docstrings under the fields of a struct, which Python does not keep."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    found: dict[str, str] = {}
    name = ""
    for statement in body.body if isinstance(body, ast.ClassDef) else ():
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
        elif name and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            found[name], name = _NONE.sub("null", " ".join(str(statement.value.value).split())), ""
        else:
            name = ""
    return found


def _operation(operation: Operation, schemas: _Schemas, *, keys: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"operationId": operation.name, "summary": operation.summary}
    if operation.description:
        made["description"] = operation.description
    made["tags"] = [operation.path.removeprefix("/v1").split("/")[1]]
    if parameters := list(_parameters(operation, schemas)):
        made["parameters"] = parameters
    if operation.bodies:
        content = {media: {"schema": schemas.of(kind)} for media, kind in operation.bodies.items()}
        made["requestBody"] = {"required": operation.needs_body, "content": content}
    made["responses"] = {str(status): _answer(answer, schemas) for status, answer in operation.answers.items()}
    for status, response in _problems(operation, keys=keys):
        _join(made["responses"], status, response)
    if keys:
        made["security"] = [{"key": [operation.scope]}] if operation.scope else []
    return made


def _parameters(operation: Operation, schemas: _Schemas) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", operation.path):
        description, schema = _PATH_PARAMETERS[name]
        yield {"name": name, "in": "path", "required": True, "description": description, "schema": schema}
    if operation.query is not None:
        required = schemas.required(operation.query)
        for name, schema in schemas.fields(operation.query).items():
            rest = {key: value for key, value in schema.items() if key != "description"}
            made = {"name": name, "in": "query", "required": name in required, "schema": rest}
            yield made | ({"description": schema["description"]} if "description" in schema else {})
    for name, description in operation.headers.items():
        yield {
            "name": name,
            "in": "header",
            "required": False,
            "description": description,
            "schema": _HEADERS.get(name, {"type": "string"}),
        }


def _answer(answer: Success, schemas: _Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {"description": answer.description}
    if answer.headers:
        made["headers"] = {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in answer.headers.items()
        }
    if answer.content:
        made["content"] = {media: {"schema": schemas.of(kind)} for media, kind in answer.content.items()}
    if answer.links:
        made["links"] = {
            name: {"operationId": name, "parameters": dict(parameters)} for name, parameters in answer.links.items()
        }
    return made


def _problems(operation: Operation, *, keys: bool) -> Iterable[tuple[str, dict[str, Any]]]:
    by_status: dict[int, list[Kind]] = {}
    for kind in kinds_of(operation, keys=keys):
        by_status.setdefault(kind.status, []).append(kind)
    for status, kinds in by_status.items():
        told = "; ".join(f"`{TYPE_PREFIX}{kind.word}`: {kind.title}" for kind in kinds)
        made: dict[str, Any] = {
            "description": f"{told}.",
            "content": {CONTENT_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}},
        }
        if status == 401:
            made["headers"] = {"WWW-Authenticate": {"description": "The scheme.", "schema": {"type": "string"}}}
        if status == 503:
            about = f"Seconds to wait, usually {RETRY_AFTER_S}; absent where a person has to act first."
            made["headers"] = {"Retry-After": {"description": about, "schema": {"type": "string"}}}
        yield str(status), made


def _join(responses: dict[str, Any], status: str, response: dict[str, Any]) -> None:
    """Add an answer; a status that stands for two things describes both."""
    known = responses.setdefault(status, response)
    if known is not response:
        known["description"] = f"{known['description']} {response['description']}"
        known["content"] = known.get("content", {}) | response["content"]
