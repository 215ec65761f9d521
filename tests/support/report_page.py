"""docs/report.md, of the schema of report.json: python tests/support/report_page.py > docs/report.md"""

import json
from collections.abc import Iterator
from typing import Any

from ci_migrate.reports.json_report import schema

HEAD = """\
# report.json, field by field

Each field of `report.json`, made from its schema [report.schema.json](report.schema.json) by `make pages`. [Reports](reports.md#json)
says what the file is for. The last column says how to read a document of an older version that lacks the field. Times are UTC,
durations seconds, sizes bytes.

The document is a [JsonReport](#jsonreport).
"""


def page() -> str:
    """The whole page: the document first, then each noun in it in the order in which one meets them."""
    defined: dict[str, Any] = json.loads(schema())["$defs"]
    names, lines = ["JsonReport"], [HEAD.rstrip("\n")]
    for name in names:  # grows while it is walked
        lines += section(name, defined[name])
        met = [found for found in references(defined[name]) if found not in names]
        names += dict.fromkeys(met)
    return "\n".join(lines) + "\n"


def section(name: str, what: dict[str, Any]) -> Iterator[str]:
    """One noun with its fields, or one word list with its words."""
    yield from ("", f"## {name}")
    if text := " ".join(what.get("description", "").split()):
        yield from ("", text)
    if "enum" in what:
        yield from ("", "One of " + ", ".join(f"`{value}`" for value in what["enum"]) + ".")
        return
    yield from ("", "| field | type | if it is missing |", "| --- | --- | --- |")
    for field, kind in what["properties"].items():
        missing = f"`{json.dumps(kind['default'], ensure_ascii=False)}`" if "default" in kind else "never"
        yield f"| `{field}` | {spelled(kind)} | {missing} |"


def spelled(kind: dict[str, Any]) -> str:
    """A type in words: `list of [Finding](#finding)`."""
    if "$ref" in kind:
        name = kind["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in kind:
        return " or ".join(spelled(one) for one in kind["anyOf"])
    if kind.get("type") == "array":
        return f"list of {spelled(kind['items'])}"
    if kind.get("type") == "object":
        return f"object of {spelled(kind['additionalProperties'])}"
    return str(kind.get("type", "anything"))


def references(what: Any) -> Iterator[str]:
    """The names of all nouns that a part of the schema speaks of."""
    if isinstance(what, dict):
        if "$ref" in what:
            yield what["$ref"].rsplit("/", 1)[-1]
        for inner in what.values():
            yield from references(inner)
    elif isinstance(what, list):
        for inner in what:
            yield from references(inner)


if __name__ == "__main__":
    print(page(), end="")
