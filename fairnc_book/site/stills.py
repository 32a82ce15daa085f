"""A still picture of a plotly figure, for paper and for readers without scripts: drawn from the
figure's data by matplotlib.

It shows what the figure shows at first: visible traces, axes, error bars, legend, lines across and
annotations. Sliders and menus are left out. ``TRACES`` lists the kinds of traces that can be drawn.
"""

import base64
import html
import io
import re
from collections.abc import Callable

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from fairnc_utils.errors import FairNCError

WIDTH = 720  # px, about that of the book's column
MANY = 100  # points of a trace; more are drawn as pixels, since each would cost some hundred bytes
# left, bottom, width, height of the plotting area, as shares of the picture
AREA = (0.1, 0.12, 0.86, 0.76)

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "book",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e0",
    "axes.axisbelow": True,
    "axes.edgecolor": "#8a8f96",
    "axes.labelcolor": "#23272e",
    "xtick.color": "#5a616b",
    "ytick.color": "#5a616b",
    "legend.frameon": False,
    "text.parse_math": True,
    "axes.unicode_minus": True,
}

SYMBOLS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "star": "*",
    "x": "X",
    "cross": "P",
    "triangle-up": "^",
    "triangle-down": "v",
    "triangle-left": "<",
    "triangle-right": ">",
    "line-ns": "|",
    "line-ew": "_",
}
DASHES = {"dash": "--", "dot": ":", "dashdot": "-.", "longdash": "--"}


def picture(figure: dict) -> bytes:
    """SVG of a figure as plotly's JSON has it. Raises ``FairNCError`` on a kind of trace that
    cannot be drawn.
    """
    layout, traces = figure.get("layout", {}), [_decoded(trace) for trace in figure["data"]]
    with rc_context(STYLE):
        canvas = Figure(figsize=(WIDTH / 96, layout.get("height", 450) / 96), dpi=96)
        plot = _Plot(canvas, layout)
        colors = layout.get("template", {}).get("layout", {}).get("colorway") or ["#0072B2"]
        for i, trace in enumerate(traces):
            kind = trace.get("type", "scatter")
            if kind not in TRACES:
                raise FairNCError(
                    f"no picture of a trace of type {kind}: choose {', '.join(TRACES)}"
                )
            if trace.get("visible", True) is True:
                TRACES[kind](plot, plot.axes(trace), trace, colors[i % len(colors)])
        plot.finish()
        out = io.BytesIO()
        plain = {"Date": None, "Creator": None}  # the same picture in every build
        canvas.savefig(
            out, format="svg", dpi=200, bbox_inches="tight", pad_inches=0.08, metadata=plain
        )
    return out.getvalue()


def _decoded(value):
    """Plotly's typed arrays as numpy arrays, at any depth."""
    if isinstance(value, dict):
        if "bdata" in value:
            array = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
            return array.reshape([int(n) for n in str(value.get("shape", len(array))).split(",")])
        return {key: _decoded(part) for key, part in value.items()}
    return value


def _text(text: str) -> str:
    """A label without the tags that plotly knows."""
    return html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"<br ?/?>", "\n", text or "")))


def _color(color, default: str = "#0072B2"):
    """A colour as plotly writes it → RGBA."""
    channels = re.fullmatch(r"rgba?\(([^)]+)\)", color) if isinstance(color, str) else None
    if channels:
        red, green, blue, *alpha = (float(part) for part in channels[1].split(","))
        return red / 255, green / 255, blue / 255, *(alpha or [1.0])
    return to_rgba(color if isinstance(color, str) else default)


class _Plot:
    """The axes of one figure, made when a trace asks for them, and the order of each one's
    categories.
    """

    def __init__(self, canvas: Figure, layout: dict):
        self.canvas, self.layout = canvas, layout
        self.made: dict[tuple[str, str], Axes] = {}
        self.categories: dict[str, dict[str, int]] = {}

    def axis(self, name: str) -> dict:
        """Layout of an axis such as ``x2``."""
        return self.layout.get(f"{name[0]}axis{name[1:]}", {})

    def axes(self, trace: dict) -> Axes:
        """The axes that a trace lies on."""
        key = trace.get("xaxis", "x"), trace.get("yaxis", "y")
        if key not in self.made:
            below = self.axis(key[1]).get("overlaying")
            under = next((axes for (_, y), axes in self.made.items() if y == below), None)
            self.made[key] = under.twinx() if under else self.canvas.add_axes(self._place(*key))
            if under:
                self.made[key].grid(False)
        return self.made[key]

    def _place(self, x: str, y: str) -> tuple[float, float, float, float]:
        left, bottom, width, height = AREA
        (x0, x1), (y0, y1) = (self.axis(name).get("domain", (0, 1)) for name in (x, y))
        return left + x0 * width, bottom + y0 * height, (x1 - x0) * width, (y1 - y0) * height

    def numbers(self, name: str, values) -> np.ndarray:
        """Positions on an axis: numbers as they are, categories by their order of appearance."""
        values = list(values) if values is not None else []
        if (
            not any(isinstance(value, str) for value in values)
            and self.axis(name).get("type") != "category"
        ):
            return np.array([np.nan if value is None else value for value in values], float)
        order = self.categories.setdefault(
            name, {str(v): i for i, v in enumerate(self.axis(name).get("categoryarray") or [])}
        )
        places = (
            np.nan if value is None else order.setdefault(str(value), len(order))
            for value in values
        )
        return np.array(list(places), float)

    def finish(self) -> None:
        """Titles, scales, categories, lines across, annotations, legend."""
        for (x, y), axes in self.made.items():
            for name, side in ((x, "x"), (y, "y")):
                self._dress(axes, name, side)
        for shape in self.layout.get("shapes", ()):
            self._shape(shape)
        for note in self.layout.get("annotations", ()):
            self._note(note)
        if title := _text(self.layout.get("title", {}).get("text")):
            self.canvas.text(AREA[0], 0.97, title, fontsize=12, va="top")
        self._legend()

    def _dress(self, axes: Axes, name: str, side: str) -> None:
        axis = self.axis(name)
        getattr(axes, f"set_{side}label")(_text((axis.get("title") or {}).get("text")))
        if axis.get("type") == "log":
            getattr(axes, f"set_{side}scale")("log")
        if order := self.categories.get(name):
            getattr(axes, f"set_{side}ticks")(
                list(order.values()), [_text(label) for label in order]
            )
            getattr(axes, f"set_{side}margin")(0.1)
        if axis.get("tickvals") is not None:
            getattr(axes, f"set_{side}ticks")(axis["tickvals"], axis.get("ticktext"))
            axes.tick_params(side, labelrotation=axis.get("tickangle", 0))
        if axis.get("tickformat", "").endswith("%"):
            getattr(axes, f"{side}axis").set_major_formatter(lambda value, _: f"{value:.0%}")
        if limits := axis.get("range"):
            limits = 10 ** np.array(limits, float) if axis.get("type") == "log" else limits
            getattr(axes, f"set_{side}lim")(*limits)
        if axis.get("autorange") == "reversed":
            getattr(axes, f"invert_{side}axis")()
        if axis.get("showticklabels") is False:
            getattr(axes, f"set_{side}ticks")([])
        if axis.get("scaleanchor"):
            axes.set_aspect("equal", adjustable="box")

    def _shape(self, shape: dict) -> None:
        """A line, across the whole axes where the other coordinate is a share of them."""
        if shape.get("type", "line") != "line" or not self.made:  # across nothing
            return
        x, y = (shape.get(f"{side}ref", "paper").split() for side in "xy")
        axes = next(
            (axes for key, axes in self.made.items() if x[0] in key or y[0] in key),
            next(iter(self.made.values())),
        )
        line = shape.get("line", {})
        style = {
            "color": _color(line.get("color"), "#5a616b"),
            "linestyle": DASHES.get(line.get("dash"), "-"),
            "linewidth": 1,
        }
        if y == ["paper"] or len(y) == 2:
            axes.axvline(shape["x0"], **style)
        elif x == ["paper"] or len(x) == 2:
            axes.axhline(shape["y0"], **style)
        else:
            axes.plot([shape["x0"], shape["x1"]], [shape["y0"], shape["y1"]], **style)

    def _note(self, note: dict) -> None:
        if note.get("showarrow", True) is False and note.get("xref") == note.get("yref") == "paper":
            x, y = AREA[0] + note.get("x", 0.5) * AREA[2], AREA[1] + note.get("y", 0.5) * AREA[3]
            across = {"left": "left", "right": "right"}.get(note.get("xanchor"), "center")
            up = {"top": "top", "bottom": "bottom"}.get(note.get("yanchor"), "center")
            self.canvas.text(
                x, y + note.get("yshift", 0) / 400, _text(note.get("text")), ha=across, va=up
            )

    def _legend(self) -> None:
        legends = [axes.get_legend_handles_labels() for axes in self.made.values()]
        entries = {
            label: handle
            for handles, labels in legends
            for handle, label in zip(handles, labels, strict=True)
        }
        if len(entries) > 1 and self.layout.get("showlegend", True):
            place = {"loc": "lower left", "bbox_to_anchor": (AREA[0], AREA[1] + AREA[3] + 0.04)}
            self.canvas.legend(entries.values(), entries, ncols=4, borderaxespad=0, **place)


# ---------------------------------------------------------------- traces


def _named(trace: dict) -> str | None:
    """The label in the legend, if the trace is to stand there."""
    return _text(trace.get("name")) or None if trace.get("showlegend", True) else None


def _error(trace: dict, side: str) -> np.ndarray | None:
    """Lengths (2, N) of the error bars along one axis, below and above."""
    bars = trace.get(f"error_{side}") or {}
    if bars.get("array") is None or bars.get("visible") is False:
        return None
    above = np.array(bars["array"], float)
    below = np.array(bars["arrayminus"], float) if bars.get("arrayminus") is not None else above
    return np.nan_to_num(np.maximum([below, above], 0))


def _scatter(plot: _Plot, axes: Axes, trace: dict, color: str) -> None:
    x = plot.numbers(trace.get("xaxis", "x"), trace.get("x"))
    y = plot.numbers(trace.get("yaxis", "y"), trace.get("y"))
    marker, line, mode = trace.get("marker", {}), trace.get("line", {}), trace.get("mode", "lines")
    fixed = marker.get("color") if isinstance(marker.get("color"), str) else line.get("color")
    drawn, label = _color(fixed, color), _named(trace)
    if trace.get("fill") in ("toself", "tonexty", "tozeroy"):
        area = _color(trace.get("fillcolor"), color)
        axes.fill(
            x,
            y,
            color=area[:3],
            alpha=min(area[3], 0.3),
            linewidth=0,
            label=None if "lines" in mode else label,
        )
    if "lines" in mode:
        style = {
            "linestyle": DASHES.get(line.get("dash"), "-"),
            "linewidth": 0.75 * line.get("width", 2),
        }
        axes.plot(
            x,
            y,
            color=_color(line.get("color"), color),
            label=None if "markers" in mode else label,
            **style,
        )
    if any(_error(trace, side) is not None for side in "xy"):
        errors = {f"{side}err": _error(trace, side) for side in "xy"}
        axes.errorbar(x, y, **errors, fmt="none", ecolor=drawn, elinewidth=1.2, capsize=2.5)
    if "markers" in mode:
        _markers(axes, x, y, marker, drawn, label)
    if "text" in mode and trace.get("text") is not None:
        for place in zip(x, y, trace["text"], strict=False):
            axes.annotate(
                _text(str(place[2])),
                place[:2],
                (0, 5),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )


def _markers(
    axes: Axes, x: np.ndarray, y: np.ndarray, marker: dict, color, label: str | None
) -> None:
    """Points, each with its own colour where the colours are numbers or a list of names; open
    symbols stay open.
    """
    symbols, sizes, colors = (
        marker.get(key, default)
        for key, default in (("symbol", "circle"), ("size", 6), ("color", None))
    )
    symbols = np.broadcast_to(np.array(symbols, dtype=object), len(x))
    given = None if colors is None or isinstance(colors, str) else np.array(colors)
    if given is None:
        colors = np.broadcast_to(np.array(color, float), (len(x), 4))
    elif given.dtype.kind in "OU":
        colors = np.array([_color(str(name)) for name in given]).reshape(-1, 4)
    else:
        span = np.nanmax(given) - np.nanmin(given) or 1.0
        colors = colormaps["viridis"]((given - np.nanmin(given)) / span)
    sizes = np.broadcast_to((0.75 * np.array(sizes, float)) ** 2, len(x))
    for symbol in dict.fromkeys(symbols):
        at = symbols == symbol
        plain = symbol.removesuffix("-open")
        faces = (
            {"facecolors": "none", "edgecolors": colors[at]}
            if plain != symbol
            else {"c": colors[at], "linewidths": 0}
        )
        faces |= {"linewidths": 1.2} if plain not in ("circle", "square", "diamond", "star") else {}
        axes.scatter(
            x[at],
            y[at],
            s=sizes[at],
            marker=SYMBOLS.get(plain, "o"),
            alpha=marker.get("opacity"),
            label=label,
            rasterized=len(x) > MANY,
            **faces,
        )
        label = None


def _bar(plot: _Plot, axes: Axes, trace: dict, color: str) -> None:
    x = plot.numbers(trace.get("xaxis", "x"), trace.get("x"))
    y = plot.numbers(trace.get("yaxis", "y"), trace.get("y"))
    given = trace.get("marker", {}).get("color")
    style = {"color": _color(given, color), "label": _named(trace), "alpha": 0.85}
    if trace.get("orientation") == "h":
        axes.barh(y, x, xerr=_error(trace, "x"), **style)
    else:
        axes.bar(x, y, yerr=_error(trace, "y"), **style)


def _box(plot: _Plot, axes: Axes, trace: dict, color: str) -> None:
    """One box, level or upright by which coordinate has the values; its points beside it where the
    figure shows them.
    """
    level = trace.get("y") is None or (
        trace.get("x") is not None and trace.get("orientation") == "h"
    )
    values = np.array(trace["x"] if level else trace["y"], float)
    name = trace.get("yaxis", "y") if level else trace.get("xaxis", "x")
    (place,) = plot.numbers(name, [str(trace.get("name", ""))])
    drawn = _color(
        trace.get("line", {}).get("color") or trace.get("marker", {}).get("color"), color
    )
    if trace.get("boxpoints", trace.get("points")) == "all":
        spread = np.random.default_rng(0).uniform(-0.22, 0.22, len(values)) + place
        points = (values, spread) if level else (spread, values)
        axes.scatter(
            *points, s=9, color=drawn, alpha=0.4, linewidths=0, rasterized=len(values) > MANY
        )
    lines = {
        part: {"color": drawn, "linewidth": 1.3}
        for part in ("boxprops", "whiskerprops", "capprops", "medianprops")
    }
    axes.boxplot(
        values[np.isfinite(values)],
        positions=[place],
        orientation="horizontal" if level else "vertical",
        widths=0.55,
        showfliers=False,
        manage_ticks=False,
        **lines,
    )


def _histogram(plot: _Plot, axes: Axes, trace: dict, color: str) -> None:
    level = trace.get("x") is None
    values = np.array(trace["y"] if level else trace["x"], float)
    axes.hist(
        values[np.isfinite(values)],
        bins=trace.get("nbinsx") or 30,
        orientation="horizontal" if level else "vertical",
        color=_color(trace.get("marker", {}).get("color"), color),
        alpha=0.7,
        label=_named(trace),
    )


def _heatmap(plot: _Plot, axes: Axes, trace: dict, color: str) -> None:
    z = np.array([list(row) for row in trace["z"]], float)
    x = plot.numbers(
        trace.get("xaxis", "x"), trace.get("x") if trace.get("x") is not None else range(z.shape[1])
    )
    y = plot.numbers(
        trace.get("yaxis", "y"), trace.get("y") if trace.get("y") is not None else range(z.shape[0])
    )
    drawn = axes.pcolormesh(x, y, z, cmap="viridis", shading="nearest", rasterized=True)
    plot.canvas.colorbar(drawn, ax=axes)


TRACES: dict[str, Callable[[_Plot, Axes, dict, str], None]] = {
    "scatter": _scatter,
    "scattergl": _scatter,
    "bar": _bar,
    "box": _box,
    "violin": _box,
    "histogram": _histogram,
    "heatmap": _heatmap,
}
