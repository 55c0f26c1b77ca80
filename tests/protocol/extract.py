"""Takes the facts that `test_reference` compares with out of the reference's OpenAPI documents, into reference.json.

    python -m tests.protocol.extract fspiop=a.yaml fspiop=b.yaml ledger=c.json ...

Paths, methods and the required fields of request bodies: facts, no texts. Several documents of one name are united.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

FACTS = Path(__file__).with_name("reference.json")
METHODS = ("get", "post", "put", "patch", "delete")
_DEEPEST = 6

Facts = dict[str, dict[str, list[str]]]


def facts_of(document: dict[str, Any]) -> Facts:
    """{path: {method: required fields}}; a path's parameters have no names, a field is like amount.currency."""
    found: Facts = {}
    for path, operations in document["paths"].items():
        methods = found.setdefault(re.sub(r"\{[^}]*\}", "{}", path), {})
        for method in METHODS:
            if method in operations:
                schemas = _bodies(document, operations[method])
                fields = {field for schema in schemas for field in required_in(document, schema)}
                methods[method] = sorted(fields)
    return found


def required_in(document: dict[str, Any], schema: dict[str, Any], place: str = "", depth: int = 0) -> set[str]:
    """The fields that a message must have, and those that its parts must have where they are there."""
    schema = _resolved(document, schema)
    if depth > _DEEPEST:
        return set()
    found: set[str] = set()
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ())):
        found |= required_in(document, part, place, depth)
    if "items" in schema:
        found |= required_in(document, schema["items"], place + "[]", depth + 1)
    found |= {f"{place}.{name}".lstrip(".") for name in schema.get("required", ())}
    for name, inner in schema.get("properties", {}).items():
        found |= required_in(document, inner, f"{place}.{name}", depth + 1)
    return found


def _bodies(document: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any]]:
    body = _resolved(document, operation.get("requestBody", {}))
    schemas = [media["schema"] for media in body.get("content", {}).values() if "schema" in media]
    parameters = (_resolved(document, parameter) for parameter in operation.get("parameters", ()))
    return schemas + [parameter["schema"] for parameter in parameters if parameter.get("in") == "body"]


def _resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        at: Any = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            at = at[step.replace("~1", "/")]
        node = at
    return node


def unite(one: Facts, other: Facts) -> Facts:
    """What either has; a field is required where every document that has the method requires it."""
    united = {path: dict(methods) for path, methods in one.items()}
    for path, methods in other.items():
        for method, fields in methods.items():
            before = united.setdefault(path, {}).get(method)
            united[path][method] = fields if before is None else sorted(set(before) & set(fields))
    return united


def main(arguments: list[str]) -> None:
    found: dict[str, Facts] = {}
    for argument in arguments:
        name, _, place = argument.partition("=")
        document = yaml.safe_load(Path(place).read_text())
        found[name] = unite(found.get(name, {}), facts_of(document))
    FACTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
