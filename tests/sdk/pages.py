"""Reads the code blocks of README.md and docs, with the marker comment before each."""

import re

from stack import ROOT

FENCE = re.compile(r"(?:<!-- ([^\n]*?) -->\n)?( *)```(\w+)\n(.*?)\n\2```", re.S)


def pages():
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language):
    """Returns (place, marker, code) of each block in this language."""
    found = []
    for page in pages():
        text = page.read_text()
        for match in FENCE.finditer(text):
            marker, _, tag, code = match.groups()
            if tag == language:
                line = text.count("\n", 0, match.start(3)) + 1
                found.append((f"{page.name}:{line}", marker or "", code + "\n"))
    return found


def recipes():
    """Returns the code after each `<!-- recipe: NAME -->`, by name."""
    found = {}
    for language in ["python", "js", "jsx", "sh"]:
        for _, marker, code in blocks(language):
            if marker.startswith("recipe: "):
                found[marker.removeprefix("recipe: ")] = code
    return found
