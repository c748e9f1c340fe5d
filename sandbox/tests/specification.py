"""The vendor's OpenAPI document, where it lies beside the repository."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SPEC = Path(__file__).parents[3] / "shared" / "api" / "klaviyo-openapi.json"


@cache
def specification() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(SPEC.read_text(encoding="utf-8"))
    return loaded


def as_json_schema(node: Any) -> Any:
    """Turn OpenAPI 3.0 into JSON Schema: ``nullable``, and links that are null at the end, which the wire has."""
    if isinstance(node, list):
        return [as_json_schema(one) for one in node]
    if not isinstance(node, dict):
        return node
    schema = {key: as_json_schema(value) for key, value in node.items() if key not in ("nullable", "example")}
    if set(schema.get("properties", {})) >= {"self", "next", "prev"}:
        for name in ("next", "prev"):
            schema["properties"][name] = {"type": ["string", "null"]}
    return {"anyOf": [schema, {"type": "null"}]} if node.get("nullable") is True else schema


@cache
def components() -> dict[str, Any]:
    converted: dict[str, Any] = as_json_schema(specification()["components"])
    return converted


def objections(path: str, status: str, answer: Any) -> list[str]:
    """Hold an answer against the operation's own schema."""
    from jsonschema import Draft202012Validator

    responses = specification()["paths"][path]["get"]["responses"]
    response = responses.get(status) or responses["4XX"]
    if "$ref" in response:
        response = specification()["components"]["responses"][response["$ref"].rsplit("/", 1)[-1]]
    (media,) = response["content"].values()
    schema = {**as_json_schema(media["schema"]), "components": components()}
    return [f"{error.json_path}: {error.message[:200]}" for error in Draft202012Validator(schema).iter_errors(answer)]


needs_spec = pytest.mark.skipif(not SPEC.is_file(), reason="the vendor's OpenAPI document is not beside the repository")
