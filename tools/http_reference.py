"""The reference in docs/http-api.md, from the OpenAPI document."""

from collections.abc import Iterable, Iterator
from typing import Any

from web.api.openapi import document
from web.api.operations import OPERATIONS


def render() -> str:
    """Return every operation and every model as Markdown."""
    made = document(OPERATIONS, keys=True)
    return "\n".join([*_operations(made), *_models(made)]).strip()


def _operations(made: dict[str, Any]) -> Iterator[str]:
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            yield f"### {method.upper()} {path}"
            yield ""
            end = "" if operation["summary"].endswith("?") else "."
            yield f"{operation['summary']}{end} {_scope(operation)}"
            if "description" in operation:
                yield ""
                yield operation["description"]
            yield ""
            if parameters := operation.get("parameters"):
                yield from _table(("parameter", "in", "what", "meaning"), map(_parameter, parameters))
            if body := operation.get("requestBody"):
                rows = ((f"`{media}`", _type(content["schema"])) for media, content in body["content"].items())
                yield from _table(("body", "what"), rows)
            yield from _table(("status", "what", "meaning"), map(_response, operation["responses"].items()))


def _models(made: dict[str, Any]) -> Iterator[str]:
    yield "## Models"
    yield ""
    for name, schema in sorted(made["components"]["schemas"].items()):
        yield f"### {name}"
        yield ""
        if "description" in schema:
            yield schema["description"]
            yield ""
        if "enum" in schema:
            yield f"One of {', '.join(f'`{value}`' for value in schema['enum'])}."
            yield ""
        elif schema.get("properties"):
            required = set(schema.get("required", ()))
            rows = (
                (
                    f"`{field}`" if field in required else f"`{field}`, optional",
                    _type(what),
                    what.get("description", ""),
                )
                for field, what in schema["properties"].items()
            )
            yield from _table(("member", "what", "meaning"), rows)


def _scope(operation: dict[str, Any]) -> str:
    security = operation["security"]
    return f"Scope `{security[0]['key'][0]}`." if security else "Needs no key."


def _parameter(parameter: dict[str, Any]) -> tuple[str, ...]:
    name = f"`{parameter['name']}`" + ("" if parameter["required"] else ", optional")
    return name, parameter["in"], _type(parameter["schema"]), parameter.get("description", "")


def _response(item: tuple[str, dict[str, Any]]) -> tuple[str, ...]:
    status, response = item
    content = [
        _type(media["schema"]) if name.endswith("json") else f"`{name}`"
        for name, media in response.get("content", {}).items()
    ]
    headers = "".join(f" `{name}`: {header['description']}" for name, header in response.get("headers", {}).items())
    return status, " or ".join(content), response["description"] + headers


def _type(schema: dict[str, Any]) -> str:
    """Describe briefly what a schema accepts."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return f"array of {', '.join(map(_type, schema['prefixItems']))}"
        return f"array of {_type(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    bounds = [f"{schema[key]:.10g}" if key in schema else "" for key in ("minimum", "maximum")]
    text = str(schema.get("type", "anything"))
    text += f" {' to '.join(bounds)}" if any(bounds) else ""
    text += f", at most {schema['maxLength']} characters" if "maxLength" in schema else ""
    return text + (f", default {schema['default']}" if "default" in schema else "")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""
