"""One self-contained HTML file of an audit or a comparison: no script, no request, all text escaped.

The page's own policy forbids scripts and requests, so that a name or a label from elsewhere can do
nothing even if it slipped through.
"""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from fairnc_book.audit import findings, svg
from fairnc_book.tables import number
from fairnc_utils.errors import FairNCError, brief
from fairnc_utils.panel import SECTIONS

#: Bytes that a page may have, and that a record is read up to.
LARGEST = 3_000_000

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


class Html(str):
    """Markup that is safe to show: everything in it that came from outside is escaped."""

    def _repr_html_(self) -> str:
        return self


def style() -> Html:
    """The look of the page, for a notebook that is read in JupyterLab."""
    return Html(f"<style>{_css()}</style>")


def _css() -> str:
    return resources.files("fairnc_book.audit").joinpath("audit.css").read_text(encoding="utf-8")


def document(title: str, body: str) -> str:
    """A whole page. Raises ``FairNCError`` for one that is too large to send around."""
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>\n{_css()}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
    if len(page.encode()) > LARGEST:
        raise FairNCError(
            f"the page would have more than {LARGEST // 1_000_000} MB: ask less of it"
        )
    return page


def _text(value: object) -> str:
    return html.escape(str(value))


# ---------------------------------------------------------------- an audit, part by part


def head(record: Mapping[str, Any]) -> Html:
    """Title and the few sentences that matter."""
    made = record["provenance"]["models"][0]
    over = f"{made['kind']} language model, {made['family']}, {_millions(made['parameters'])} parameters"
    return Html(
        f'<p class="over">Audit of a {_text(over)}</p><h1>How fair is {_text(record["model"])}?</h1>'
        + _box(findings.summary(record))
        + _measured(record["provenance"])
    )


def _measured(provenance: Mapping[str, Any]) -> str:
    budget = provenance["budget_minutes"]
    if budget is None:
        return "<p>All items of each benchmark were used.</p>"
    items, took = provenance["items"].values(), provenance["minutes"]
    longer = f" Measuring took {number(took, digits=2)} minutes." if took > 1.2 * budget else ""
    cut = sum(used < there for used, there in items)
    return (
        f"<p>A budget of {budget:g} minute{'s' * (budget != 1)} of measuring chose the samples: {cut} of "
        f"{len(items)} benchmarks were cut to a part of their items, drawn at random. Each number says how many "
        f"it rests on.{longer}</p>"
    )


def section(record: Mapping[str, Any], name: str) -> Html:
    """The numbers of one section, each with its picture and its sentence."""
    numbers = [each for each in record["numbers"] if each["section"] == name]
    if not numbers:
        return Html("<p>Nothing of this could be measured; why stands below.</p>")
    marks = [("this", record["model"])]
    if record["against"]:
        marks.append(("other", record["against"]))
    marks.append(("ideal", "ideal, where there is one"))
    rows = [_row(each, record["model"], record["against"]) for each in numbers]
    return Html(svg.key(marks) + f'<ul class="rows">{"".join(rows)}</ul>' + _limits(numbers))


def _row(told: Mapping[str, Any], model: str, against: str | None) -> str:
    bounds = ""
    if told["ci_low"] is not None:
        bounds = f" <small>[{number(told['ci_low'])}, {number(told['ci_high'])}]</small>"
    facts = [_ideal(told)]
    if told["smallest"] is not None:
        facts.append(f"detectable {number(told['smallest'], digits=2)}")
    facts.append(f"{told['units']:,} units, {told['items']:,} of {told['of_items']:,} items")
    where = ":".join((told["split"], told["axis"]))
    unit = f" {_text(told['unit'])}" if told["unit"] else ""
    shown = number(float("nan") if told["value"] is None else told["value"])
    said = [findings.finding(told), findings.change(told, against or "")]
    return (
        f'<li class="row">{_title(told)}'
        f'<p class="value">{shown}{unit}{bounds}</p>'
        f'<div class="picture">{svg.interval(told, model, against)}</div>'
        f'<p class="said">{_text(" ".join(filter(None, said)))}</p>'
        f'<p class="facts">{_text(" · ".join(facts))} · {_text(where)}</p>{_paired(told)}</li>'
    )


def _ideal(told: Mapping[str, Any]) -> str:
    """The ideal in words, and the side from which it is reached."""
    way = {1: ", higher is better", -1: ", lower is better", 0: ""}[told["better"]]
    ideal = told["target"].rstrip(" ↑↓")
    if ideal == "–":
        return way.removeprefix(", ") or "no ideal"
    named = {"kept": "should be kept", "ceiling": "ideal: its ceiling"}
    return named.get(ideal, f"ideal {ideal}") + way


def _title(told: Mapping[str, Any]) -> str:
    return f"<h3>{_text(told['label'])} <small>{_text(told['benchmark'])}</small></h3>"


def _paired(told: Mapping[str, Any]) -> str:
    other = told["against"]
    if not other or other["change_low"] is None:
        return ""
    facts = [
        f"difference {number(other['change'])} [{number(other['change_low'])}, {number(other['change_high'])}]"
    ]
    if other["holm_p"] is not None:
        facts.append(f"p {number(other['holm_p'], digits=2)} after Holm")
    if other["smallest"] is not None:
        facts.append(f"detectable {number(other['smallest'], digits=2)}")
    if other["needed"] is not None and other["needed"] > other["units"] and not other["found"]:
        facts.append(f"{other['needed']:,} units would decide, here are {other['units']:,}")
    return f'<p class="facts">{_text(" · ".join(facts))}</p>'


def _limits(numbers: Iterable[Mapping[str, Any]]) -> str:
    told = {each["benchmark"]: (each["measures"], each["limits"]) for each in numbers}
    rows = "".join(
        f"<dt>{_text(name)}</dt><dd>{_text(measures)} {_text(limits)}</dd>"
        for name, (measures, limits) in told.items()
    )
    return f"<details><summary>What these benchmarks measure, and what they cannot</summary><dl>{rows}</dl></details>"


def words(record: Mapping[str, Any]) -> Html:
    """Where the words stand among control lists: a picture a model."""
    parts = []
    for model, told in record["words"].items():
        said = " ".join(findings.placed(told))
        marks = [
            ("star", f"{told['list']} words ({told['words']})"),
            ("random", "random lists"),
            ("matched", "lists of words as frequent"),
        ]
        parts.append(
            f"<h3>{_text(model)}</h3><p>{_text(said)}</p>{svg.among(told, model)}{svg.key(marks)}"
        )
    return Html("".join(parts) or "<p>The words could not be placed; why stands below.</p>")


def left_out(record: Mapping[str, Any], *, done: str = "measured") -> Html:
    """What could not be measured, and why; and what no audit of this kind measures."""
    rows = "".join(
        f"<dt><code>{_text(name)}</code></dt><dd>{_text(why)}</dd>"
        for name, why in record["left_out"].items()
    )
    listed = (
        f"<dl>{rows}</dl>" if rows else f"<p>Everything that was asked for could be {done}.</p>"
    )
    return Html(listed)


def provenance(record: Mapping[str, Any]) -> Html:
    """Where the numbers come from."""
    told = record["provenance"]
    facts = [("made", told["created"]), ("device", told["device"] or "–")]
    facts += [
        (f"model {each['name']}", f"fingerprint {each['fingerprint']}") for each in told["models"]
    ]
    facts += [(name, version) for name, version in told["versions"].items()]
    facts += [(f"data {name}", pin) for name, pin in told["data"].items()]
    for name in ("seed", "budget_minutes", "words"):
        if told.get(name) is not None:
            facts.append((name.replace("_", ", "), told[name]))
    rows = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts)
    return Html(f"<dl>{rows}</dl>")


def _box(said: Sequence[str]) -> str:
    return (
        f'<div class="summary"><ul>{"".join(f"<li>{_text(each)}</li>" for each in said)}</ul></div>'
    )


def _millions(number_of: int) -> str:
    return f"{number_of / 1e6:,.0f} million" if number_of >= 1e7 else f"{number_of:,}"


# ---------------------------------------------------------------- whole pages


def of_notebook(notebook: Any, *, title: str) -> str:
    """The page of an executed audit notebook: its prose, and what its cells show; the code last, folded.

    Cells tagged ``skip`` and the parameters are left out; progress and warnings are no part of a report.
    """
    prose, body, code = MarkdownIt("commonmark", {"html": False}), [], []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            code.append(cell.source)
        if {"skip", "parameters", "injected-parameters"} & set(cell.metadata.get("tags", [])):
            continue
        if cell.cell_type == "markdown":
            body.append(prose.render(cell.source))
            continue
        body += [
            "".join(output["data"]["text/html"])
            for output in cell.outputs
            if "text/html" in output.get("data", {})
        ]
    header, *rest = body
    shown = "\n\n".join(code)
    folded = (
        "<details><summary>The code that made this page</summary>"
        f'<pre tabindex="0">{_text(shown)}</pre></details>'
    )
    footer = "Made by fairnc audit, of the package fairnc-utils."
    return document(
        title,
        f"<header>{header}</header>\n<main>\n{''.join(rest)}\n{folded}\n</main>\n<footer>{footer}</footer>",
    )


_DECISIONS = {
    "not worse": "Not worse",
    "worse": "Worse",
    "undecided": "Undecided",
    None: "Compared",
}


def of_comparison(record: Mapping[str, Any]) -> str:
    """The page of a comparison (``Comparison.record``)."""
    first, second, tests = record["first"], record["second"], record["tests"]
    said = [each["sentence"] for each in tests if record["decision"] is None or each["decision"]]
    verdict = _DECISIONS[record["decision"]]
    over = "margins decide" if record["decision"] else "paired, item by item"
    head = (
        f'<p class="over">Comparison: {over}</p><h1>{verdict}: {_text(second)} against {_text(first)}</h1>'
        + _box(said[:12])
    )
    body = []
    for name, title in SECTIONS.items():
        numbers = [_as_number(each) for each in tests if each["section"] == name]
        if numbers:
            marks = [("this", second), ("other", first), ("ideal", "ideal, where there is one")]
            rows = "".join(_compared(each, second, first) for each in numbers)
            body.append(f'<h2>{title}</h2>{svg.key(marks)}<ul class="rows">{rows}</ul>')
    told = record["provenance"]
    body.append(f"<h2>What could not be compared</h2>{left_out(record, done='compared')}")
    body.append(f"<h2>Where the numbers come from</h2>{provenance({'provenance': told})}")
    footer = "Made by fairnc compare, of the package fairnc-utils."
    return document(
        f"{second} against {first}",
        f"<header>{head}</header>\n<main>{''.join(body)}</main>\n<footer>{footer}</footer>",
    )


def _as_number(test: Mapping[str, Any]) -> dict[str, Any]:
    """A test of a comparison as a row shows it: the second model, against the first."""
    sides = {
        name: {"value": test[name], "ci_low": test[f"{name}_low"], "ci_high": test[f"{name}_high"]}
        for name in ("first", "second")
    }
    change = {
        "change": test["change"],
        "change_low": test["ci_low"],
        "change_high": test["ci_high"],
        "found": test["holm_p"] is not None and test["holm_p"] < 0.05,
    }
    kept = ("holm_p", "smallest", "needed", "units", "loss")
    against = sides["first"] | change | {name: test[name] for name in kept}
    return {**test, **sides["second"], "against": against}


def _compared(told: Mapping[str, Any], model: str, against: str) -> str:
    where = ":".join((told["split"], told["axis"]))
    facts = [_ideal(told)]
    if told["margin"] is not None:
        facts.append(f"margin {number(told['margin'])}: {told['decision']}")
    facts.append(f"{told['units']:,} units")
    values = [
        number(float("nan") if each is None else each) for each in (told["first"], told["second"])
    ]
    return (
        f'<li class="row">{_title(told)}<p class="value">{values[0]} → {values[1]}'
        f"{' ' + _text(told['unit']) if told['unit'] else ''}</p>"
        f'<div class="picture">{svg.interval(told, model, against)}</div>'
        f'<p class="said">{_text(_said(told))}</p>'
        f'<p class="facts">{_text(" · ".join(facts))} · {_text(where)}</p>{_paired(told)}</li>'
    )


def _said(told: Mapping[str, Any]) -> str:
    """The sentence of a test without the label and the values, which stand above it."""
    _, _, said = told["sentence"].removeprefix(f"{told['label']}: ").partition(", ")
    said = said or told["sentence"]
    return said[:1].upper() + said[1:]


def read(path: str) -> dict:
    """A record that ``fairnc compare --json`` printed. Raises ``FairNCError`` for anything else."""
    try:
        if Path(path).stat().st_size > LARGEST:
            raise FairNCError(
                f"{path} has more than {LARGEST // 1_000_000} MB: it is no comparison"
            )
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except FairNCError:
        raise
    except OSError as error:
        raise FairNCError(
            f"{path}: {error.strerror}; name a file of `fairnc compare --json`"
        ) from error
    except (ValueError, RecursionError) as error:
        raise FairNCError(f"{path} is no JSON ({brief(error)})") from error
    if not isinstance(record, dict) or record.get("what") != "comparison":
        raise FairNCError(f"{path} is no comparison: name a file of `fairnc compare --json`")
    return record


def rendered(record: Mapping[str, Any], path: str) -> str:
    """``of_comparison`` of a record from a file. Raises ``FairNCError`` where it lacks something."""
    try:
        return of_comparison(record)
    except FairNCError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise FairNCError(
            f"{path}: not as `fairnc compare --json` writes it ({brief(error)})"
        ) from error
