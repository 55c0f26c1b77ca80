"""Prints sentences of the documents, docstrings, comments, errors and pages, so that a reader can judge them.

`python -m tests.sentences --seed 7` draws 30 sentences. Without `--seed` it prints all of them.
"""

import argparse
import ast
import io
import random
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parent.parent
_NEXT_SENTENCE = re.compile(r'(?<=[.!?:])\s+(?=[A-Z`\[*"])')
_PROSE = re.compile(r"[a-z]{3}.*\s[a-z]{2}")
_PAGE_TEXT = re.compile(
    r'{% (?:block)?trans(?:late)? "([^"]*)"|{% blocktrans[^%]*%}(.*?){% endblocktrans|>([^<>{}]{20,})<', re.DOTALL
)
_NO_TEXT = re.compile(r"<(script|style).*?</\1>", re.DOTALL)
_DIRECTIVE = re.compile(r"# (type|noqa|fmt|pragma)")

Found = tuple[int, str, str]
"""The line, the kind of text, and the text."""


def sentences(text: str) -> list[str]:
    """Returns the sentences of a text that have at least four words."""
    parts = _NEXT_SENTENCE.split(re.sub(r"\s+", " ", text).strip())
    return [part for part in parts if len(part.split()) >= 4 and re.search("[a-z]{3}", part)]


def of_document(text: str) -> Iterator[Found]:
    """Yields the paragraphs, list items and table cells of a Markdown document, without its examples of code."""
    is_code, paragraph, began = False, list[str](), 0
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        is_code ^= raw.startswith("```")
        line = "" if is_code or raw.startswith(("```", "    ")) else raw
        if line.startswith("|"):
            yield from ((number, "doc", cell) for cell in line.strip().strip("|").split("|"))
            line = ""
        starts_item = re.match(r"\s*([-*]|\d+\.)\s+|#+\s", line)
        if paragraph and (starts_item or not line.strip()):
            yield began, "doc", " ".join(paragraph)
            paragraph = []
        if line.strip():
            began = began if paragraph else number
            paragraph.append(line[starts_item.end() :].strip() if starts_item else line.strip())


def of_module(text: str) -> Iterator[Found]:
    """Yields the docstrings, texts and comments of a Python module."""
    tree, docstrings = ast.parse(text), set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            docstrings.add(id(node.value))
            for paragraph in re.split(r"\n\s*\n", node.value.value):
                yield node.lineno, "docstring", paragraph
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            said = node.value
            if len(said.split()) >= 5 and _PROSE.search(said) and "SELECT" not in said and "\n" not in said.strip():
                yield node.lineno, "text", said
    yield from _comments(text)


def _comments(text: str) -> Iterator[Found]:
    block, began, last = list[str](), 0, -1
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or _DIRECTIVE.match(token.string):
            continue
        is_alone = token.line.lstrip().startswith("#")
        if block and not (is_alone and token.start[0] == last + 1):
            yield began, "comment", " ".join(block)
            block = []
        began = began if block else token.start[0]
        block.append(token.string.lstrip("# "))
        last = token.start[0] if is_alone else -1
    if block:
        yield began, "comment", " ".join(block)


def of_page(text: str) -> Iterator[Found]:
    """Yields the texts of a template."""
    text = _NO_TEXT.sub(lambda match: "\n" * match.group().count("\n"), text)
    for match in _PAGE_TEXT.finditer(text):
        yield (
            text[: match.start()].count("\n") + 1,
            "page",
            next(group for group in match.groups() if group is not None),
        )


def every_sentence() -> list[str]:
    """Returns all sentences of the product and its documents, each with its file, line and kind."""
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split()
    found: list[str] = []
    for name in listed:
        if name.endswith(".md"):
            read = of_document
        elif name.endswith(".py") and not name.startswith("tests/") and "/migrations/" not in name:
            read = of_module
        elif name.endswith(".html"):
            read = of_page
        else:
            continue
        for line, kind, text in read((PROJECT / name).read_text()):
            found += [f"{name}:{line} [{kind}] {sentence}" for sentence in sentences(text)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="print only some sentences, which this number chooses")
    parser.add_argument("--count", type=int, default=30, help="the number of sentences with --seed (30)")
    asked = parser.parse_args()
    found = every_sentence()
    if asked.seed is not None:
        found = random.Random(asked.seed).sample(found, asked.count)
    for line in found:
        print(line)


if __name__ == "__main__":
    main()
