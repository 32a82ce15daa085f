"""The reference in the book: docstrings, which are plain text, made fit for Sphinx; options of
configurations, listed.
"""

import re

from pydantic import BaseModel

#: What reStructuredText would take for markup in a docstring, which is plain text but for ``code``, *emphasis* and lists.
PLAIN = re.compile(
    r"(?m:^ *[*-] )|``[^`]+``|(?<!\S)\*[^\s*][^*]*\*(?!\w)|(?P<markup>[*|`\\]|(?<=\w)_(?!\w))"
)


def plain_docstring(app, what: str, name: str, obj, options, lines: list[str]) -> None:
    """Escape what is no markup in a docstring, and list the options of a configuration with their
    meaning.
    """
    text = "\n".join(lines)
    # every second one is a block of code
    blocks = re.split(r"((?:^    .*\n?)+)", text, flags=re.MULTILINE)
    blocks[::2] = [
        PLAIN.sub(lambda match: "\\" * bool(match["markup"]) + match[0], block)
        for block in blocks[::2]
    ]
    lines[:] = "".join(blocks).split("\n")
    if what == "class" and issubclass(obj, BaseModel):
        for option, field in obj.model_fields.items():
            default = "required" if field.is_required() else f"default ``{field.default!r}``"
            lines += [
                f":param {option}: {field.description + '; ' if field.description else ''}{default}"
            ]


def setup(app) -> dict:
    """Register with Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", plain_docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
