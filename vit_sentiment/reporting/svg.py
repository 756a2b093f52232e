"""The one look of all figures: inline SVG, readable in print, in grey and without colour vision.

Figures are at most 482 points wide, what A4 has between margins of 2 cm: then none is shrunk, and
letters are printed at their 9 or 10 points.
"""

import hashlib
import html
import io
import re

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#1f5fa8", "#d9730d", "#6b6b6b"
"""Told apart with any colour vision; in grey, line styles and markers tell the curves apart."""
CURVES = (
    {"color": BLUE, "linestyle": "-"},
    {"color": ORANGE, "linestyle": "--", "marker": "o", "markersize": 4},
    {"color": GREY, "linestyle": ":", "marker": "s", "markersize": 4},
    {"color": BLUE, "linestyle": "-.", "marker": "^", "markersize": 4},
)
"""Styles of the curves of a figure, in the order in which they are drawn."""
STYLE = {
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.titlesize": 10,
    "legend.fontsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # Text stays text: searchable, and small.
    "svg.hashsalt": "vit_sentiment",  # The same figure gives the same bytes.
}


def drawn(figure: Figure, alternative: str) -> str:
    """The figure as an SVG element, without metadata; `alternative` is what it tells, in words."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata=nothing)
    plt.close(figure)
    svg = buffer.getvalue()
    svg = re.sub(r"<g id=\"[^\"]*\"", "<g", svg[svg.index("<svg") :])
    # Ids are the page's: those of two figures must differ.
    own = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{own}-", svg)
    words = html.escape(alternative)
    start = svg.index(">") + 1
    head = svg[:start].replace("<svg", f'<svg role="img" aria-label="{words}"', 1)
    return f"{head}<title>{words}</title>{svg[start:]}"
