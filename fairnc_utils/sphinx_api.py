"""The package's reference in the book: pages of modules, made from their docstrings.

A page says which modules it shows with a line of its own, ``% modules: measuring``. The groups are ``GROUPS``; modules that
none of them names belong to the group ``results``, so that a new module is never left out.
"""

import pkgutil
import re
from fnmatch import fnmatchcase

from pydantic import BaseModel

import fairnc_utils

#: Group → patterns of module names below ``fairnc_utils``, in the order of the page.
GROUPS = {
    "measuring": ("linear", "models", "words", "corpora", "measurement", "collapse", "pairwise", "projection", "stats"),
    "training": ("regularizer", "training", "captured", "pretraining", "swap", "debias*", "finetuning", "tasks*"),
    "fairness": ("benchmarks*",),
    "results": (),
}

MARK = re.compile(r"^% modules: (\w+)$", re.MULTILINE)

#: What reStructuredText would take for markup in a docstring, which is plain text but for ``code``, *emphasis* and lists.
PLAIN = re.compile(r"(?m:^ *[*-] )|``.+?``|(?<!\S)\*[^\s*][^*]*\*(?!\w)|(?P<markup>[*|`\\]|(?<=\w)_(?!\w))")


def modules() -> list[str]:
    """Names of all modules of the package but those that extend Sphinx, without the leading ``fairnc_utils.``."""
    names = []
    for info in pkgutil.iter_modules(fairnc_utils.__path__):
        names.append(info.name)
        if info.ispkg:
            folders = [f"{path}/{info.name}" for path in fairnc_utils.__path__]
            names += [f"{info.name}.{part.name}" for part in pkgutil.iter_modules(folders)]
    return sorted(name for name in names if not name.startswith("sphinx_"))


def group(name: str) -> list[str]:
    """Modules of one group, in the order of its patterns; of ``results`` those that no pattern names."""
    if name == "results":
        named = {module for other, patterns in GROUPS.items() if patterns for module in group(other)}
        return [module for module in modules() if module not in named]
    return [module for pattern in GROUPS[name] for module in modules() if fnmatchcase(module, pattern)]


def write_page(app, docname: str, source: list[str]) -> None:
    """Put the modules of its group into a page that asks for them."""
    source[0] = MARK.sub(lambda found: "\n".join(map(_section, group(found[1]))), source[0])


def _section(module: str) -> str:
    return f"## fairnc_utils.{module}\n\n```{{eval-rst}}\n.. automodule:: fairnc_utils.{module}\n```\n"


def plain_docstring(app, what: str, name: str, obj, options, lines: list[str]) -> None:
    """Escape what is no markup in a docstring, and list the options of a configuration with their meaning."""
    text = "\n".join(lines)
    blocks = re.split(r"((?:^    .*\n?)+)", text, flags=re.MULTILINE)  # every second one is a block of code
    blocks[::2] = [PLAIN.sub(lambda found: "\\" * bool(found["markup"]) + found[0], block) for block in blocks[::2]]
    lines[:] = "".join(blocks).split("\n")
    if what == "class" and issubclass(obj, BaseModel):
        for option, field in obj.model_fields.items():
            default = "required" if field.is_required() else f"default ``{field.default!r}``"
            lines += [f":param {option}: {field.description + '; ' if field.description else ''}{default}"]


def setup(app) -> dict:
    """Register with Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("source-read", write_page)
    app.connect("autodoc-process-docstring", plain_docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
