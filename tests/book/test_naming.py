"""Names: things are called after what they are, and a file's name has one meaning."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from fairnc_utils.runs import checkout

PACKAGES = ("fairnc_utils", "fairnc_book", "speed")
FILES = sorted(
    path.relative_to(checkout.root())
    for package in PACKAGES
    for path in (checkout.root() / package).rglob("*.py")
)

#: These say which part a value plays in a sentence, and not what it is.
EMPTY = {"found", "own", "chosen", "told"}

#: Names that several files have, and why that is one meaning.
SHARED = {
    "__init__": "Python's",
    "__main__": "Python's",
    "base": "what all modules of its folder have in common",
    "ablations": "the rows, and their figures",
    "bias_source": "the answers, and their figures",
    "collapse": "the metrics, and their figures",
    "compressed": "what the runs of the study of compression say, and its figures",
    "concepts": "the vectors, their run by layer, what the chapter's runs say, and its figures",
    "data": "what is asked: by the claims of the first edition, and by the plan of the second",
    "decide": "the tests of either",
    "duality": "the cosines of means and rows, and their figures",
    "explorer": "the data of the page of words, and its widget",
    "frontier": "the sentences, and their figure",
    "measurement": "the measurement, and its speed",
    "redditbias": "the task, and how well a model of it does",
    "regularizer": "the regularizer, and its speed",
    "report": "the tables of either",
    "rows": "result rows, and those that claims and the plan's tests make",
    "scoring": "the scoring of sentences, and its speed",
    "study": "the runs of a grid, and the recorded ones of a base",
    "swap_collapse": "the regularizer, and the benchmark that measures the same quantity",
    "train": "the training with a method, and its run",
    "training": "the training loop, its speed and its figures",
    "trajectory": "the run, and its figures",
}


def public_names(tree: ast.Module) -> Iterator[str]:
    """Names of a module that others may use: its own, those of its classes' methods and fields, and
    the parameters of all of them.
    """
    for node in tree.body:
        yield from _names(node)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for member in node.body:
                yield from _names(member)


def _names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        names = [node.name]
        if isinstance(node, ast.FunctionDef) and (node.name == "__init__" or node.name[0] != "_"):
            names += [
                argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)
            ]
    else:
        assigned = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [
            name.id
            for target in assigned
            if target
            for name in ast.walk(target)
            if isinstance(name, ast.Name)
        ]
    yield from (name for name in names if not name.startswith("_"))


def empty(name: str) -> bool:
    """Whether a name has an empty word in it."""
    return not EMPTY.isdisjoint(word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name))


def test_public_names_say_what_they_hold():
    trees = {path: ast.parse((checkout.root() / path).read_text("utf-8")) for path in FILES}
    names = {path: list(filter(empty, public_names(tree))) for path, tree in trees.items()}
    assert {str(path): of_file for path, of_file in names.items() if of_file} == {}


def test_an_empty_name_is_noticed_wherever_others_see_it():
    code = """
found = 1
def choose(own, *, x=0): told = own; return told
def _choose(own): return own
class Result:
    chosen_rows: int = 0
    def read(self, told): pass
class NotChosen: pass
"""
    names = ["found", "own", "chosen_rows", "told", "NotChosen"]
    assert [name for name in public_names(ast.parse(code)) if empty(name)] == names
    assert not any(map(empty, ("foundation", "download", "chosenness", "Owner")))


def test_rows_are_called_rows():
    alias = re.compile(r"\bas records\b")
    folders = [checkout.root() / name for name in (*PACKAGES, "tests", "notebooks", "workflow")]
    files = [
        path for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".ipynb"}
    ]
    this = Path(__file__).resolve()
    assert [path for path in files if path != this and alias.search(path.read_text("utf-8"))] == []


def test_a_file_name_has_one_meaning():
    places = defaultdict(list)
    for path in FILES:
        places[path.stem].append(path)
    assert {stem for stem, paths in places.items() if len(paths) > 1} == SHARED.keys()
