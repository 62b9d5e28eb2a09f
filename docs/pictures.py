"""The pictures of the documents: `.d2` files become SVG, dated results become the plot of the README.

`python docs/pictures.py` writes into `docs/pictures/`. It reads `load_tests/results/` and knows no measurement itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
RESULTS = ROOT / "load_tests" / "results"
LAYOUT = (
    *("--theme", "0", "--dark-theme", "200", "--pad", "8", "--omit-version"),
    *("--elk-nodeNodeBetweenLayers", "36", "--elk-edgeNodeBetweenLayers", "18"),
)
NAMES = {"fitscore": "Fitscore", "infinity": "infinity-emb", "naive": "plain FastAPI endpoint"}
GOODPUT = "goodput at "
WIDTH, HEIGHT, LEFT, ROW = 860, 230, 172, 34
PANEL = WIDTH // 2
STYLE = """text { font: 14px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 } .small { font-size: 12px }
.ours { fill: #3f51b5 } .other { fill: #b0b7c3 }
@media (prefers-color-scheme: dark) { text { fill: #e6e6e6 } .ours { fill: #8c9eff } .other { fill: #5c6370 } }"""


@dataclass(frozen=True)
class Bar:
    """One bar: its label, its value, the text beside it, and whether it is ours."""

    label: str
    value: float
    text: str
    ours: bool


@dataclass(frozen=True)
class Panel:
    """One half of the plot."""

    title: str
    bars: Sequence[Bar]
    source: str


def newest(pattern: str, wanted: Callable[[dict[str, Any]], bool]) -> tuple[Path, dict[str, Any]]:
    """The newest file of results with a JSON line that is wanted, and that line."""
    for path in sorted(RESULTS.glob(pattern), reverse=True):
        for text in path.read_text(encoding="utf-8").splitlines():
            if text.startswith("{") and len(text) > 1 and wanted(line := json.loads(text)):
                return path, line
    raise LookupError(f"no {pattern} in {RESULTS} has the figures of the plot")


def peers_panel() -> Panel:
    """Pairs per second of servers that serve the same weights."""
    path, line = newest("*-peers.md", lambda line: line.get("base") == "fitscore")
    bars = [
        Bar(NAMES[each["server"]], each["pairs/s"], f"{each['pairs/s']:.1f}", each["server"] == "fitscore")
        for each in sorted(line["servers"], key=lambda each: -each["pairs/s"])
    ]
    return Panel("Same fp32 cross-encoder, pairs per second", bars, _source(path, line))


def goodput_panel() -> Panel:
    """Requests answered in time under overload, in percent of the peak without overload."""
    path, line = newest("*-fire*.md", lambda line: any(each["name"].startswith(GOODPUT) for each in line["figures"]))
    bars = []
    for figure in line["figures"]:
        if figure["name"].startswith(GOODPUT):
            load = figure["name"].split()[2]
            found = figure["found"].split("%")[0]
            bars.append(Bar(f"{load} load", float(found), f"{found} %", True))
            load, found = figure["control"].split(", ")[1].removesuffix("%").split(": ")
            control = Bar(f"{load}, admission off", float(found), f"{found} %", False)
    return Panel("Answered in time, % of peak goodput", [*bars, control], _source(path, line))


def _source(path: Path, line: dict[str, Any]) -> str:
    return f"{path.name[:10]}, {line['machine']}"


def draw(panels: Sequence[Panel]) -> str:
    """Both panels side by side as one SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{'; '.join(panel.title for panel in panels)}</title>",
        f"<style>{STYLE}</style>",
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, number * PANEL)
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Panel, left: int) -> Iterator[str]:
    yield f'<text class="title" x="{left}" y="22">{panel.title}</text>'
    scale = (PANEL - LEFT - 70) / max(bar.value for bar in panel.bars)
    for row, bar in enumerate(panel.bars):
        top, width = 42 + row * ROW, bar.value * scale
        yield f'<text x="{left + LEFT - 10}" y="{top + 17}" text-anchor="end">{bar.label}</text>'
        kind = "ours" if bar.ours else "other"
        yield f'<rect class="{kind}" x="{left + LEFT}" y="{top}" width="{width:.1f}" height="24" rx="2"/>'
        yield f'<text x="{left + LEFT + width + 8:.1f}" y="{top + 17}">{bar.text}</text>'
    yield f'<text class="small" x="{left}" y="{HEIGHT - 14}">{panel.source}</text>'


def render(source: Path) -> str:
    """A `.d2` file as SVG. Needs the extra `docs`, not the network."""
    d2 = Path(sys.executable).with_name("d2")
    command = [str(d2), *LAYOUT, str(source), "-"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def pictures() -> Iterator[tuple[Path, str]]:
    """Each picture's path and its SVG."""
    for source in sorted(PICTURES.glob("*.d2")):
        yield source.with_suffix(".svg"), render(source)
    yield PICTURES / "results.svg", draw([peers_panel(), goodput_panel()])


if __name__ == "__main__":
    for path, svg in pictures():
        path.write_text(svg, encoding="utf-8")
