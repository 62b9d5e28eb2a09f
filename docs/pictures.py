"""The pictures of the documents: `.d2` files become SVG, dated results become the plot of the README.

`python docs/pictures.py` writes into `docs/pictures/`; with the word `plots`, only the plots, which need no d2. It
reads `load_tests/results/` and knows no measurement itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
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
NAMES = {
    "fitscore": "Fitscore",
    "infinity": "infinity-emb",
    "naive": "plain FastAPI endpoint",
    "litserve": "LitServe",
    "mosec": "Mosec",
    "bentoml": "BentoML",
    "ray": "Ray Serve",
}
GOODPUT = "goodput at "
WIDTH, LEFT, ROW = 860, 172, 34
PANEL = WIDTH // 2
STYLE = """text { font: 14px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 } .small { font-size: 12px }
.ours { fill: #3f51b5 } .other { fill: #b0b7c3 }
path.ours, path.other { fill: none; stroke-width: 2.5 } path.ours { stroke: #3f51b5 } path.other { stroke: #8d96a5 }
@media (prefers-color-scheme: dark) { text { fill: #e6e6e6 } .ours { fill: #8c9eff } .other { fill: #5c6370 }
path.ours { stroke: #8c9eff } path.other { stroke: #9aa3b1 } }"""


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
    """The newest file of results with a JSON line that is wanted, and the last such line."""
    for path in sorted(RESULTS.glob(pattern), reverse=True):
        for text in reversed(path.read_text(encoding="utf-8").splitlines()):
            if text.startswith("{") and len(text) > 1 and wanted(line := json.loads(text)):
                return path, line
    raise LookupError(f"no {pattern} in {RESULTS} has the figures of the plot")


def peers_panel() -> Panel:
    """Pairs per second of servers that serve the same weights."""
    path, line = newest("*-peers.md", _whole)
    bars = [
        Bar(NAMES[each["server"]], each["pairs/s"], f"{each['pairs/s']:.1f}", each["server"] == "fitscore")
        for each in sorted(line["servers"], key=lambda each: -each["pairs/s"])
    ]
    return Panel("Same fp32 cross-encoder, pairs per second", bars, _source(path, line))


def _whole(line: dict[str, Any]) -> bool:
    """Whether each server of the run answered 200 to each request: else its rate is not measured."""
    return line.get("base") == "fitscore" and not any(each["not 200"] for each in line["servers"])


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
    height = 94 + max(len(panel.bars) for panel in panels) * ROW
    parts = [part for number, panel in enumerate(panels) for part in _panel(panel, number * PANEL, height)]
    return _svg("; ".join(panel.title for panel in panels), height, parts)


def _svg(title: str, height: int, parts: Iterable[str]) -> str:
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{title}</title>",
        f"<style>{STYLE}</style>",
    ]
    return "\n".join([*head, *parts, "</svg>\n"])


def _panel(panel: Panel, left: int, height: int) -> Iterator[str]:
    yield f'<text class="title" x="{left}" y="22">{panel.title}</text>'
    scale = (PANEL - LEFT - 70) / max(bar.value for bar in panel.bars)
    for row, bar in enumerate(panel.bars):
        top, width = 42 + row * ROW, bar.value * scale
        yield f'<text x="{left + LEFT - 10}" y="{top + 17}" text-anchor="end">{bar.label}</text>'
        kind = "ours" if bar.ours else "other"
        yield f'<rect class="{kind}" x="{left + LEFT}" y="{top}" width="{width:.1f}" height="24" rx="2"/>'
        yield f'<text x="{left + LEFT + width + 8:.1f}" y="{top + 17}">{bar.text}</text>'
    yield f'<text class="small" x="{left}" y="{height - 14}">{panel.source}</text>'


def autoscaling() -> str:
    """Replicas and goodput over time, scaled by backlog and by CPU share."""
    path, line = newest("*-autoscaling.md", lambda line: line["command"] == "autoscaling")
    end = sum(phase["seconds"] for phase in line["phases"])
    most = max(tick["ready"] + tick["starting"] for curve in line["curves"] for tick in curve["ticks"])
    height, titles = 300, (f"Replicas, at most {most}", "Answered in time, 0 to 100 %")
    parts = [f'<text class="title" x="{LEFT // 2}" y="{22 + 130 * row}">{titles[row]}</text>' for row in (0, 1)]
    for curve in sorted(line["curves"], key=lambda curve: curve["name"] == "backlog"):
        kind = "ours" if curve["name"] == "backlog" else "other"
        replicas = [(tick["at"], (tick["ready"] + tick["starting"]) / most) for tick in curve["ticks"]]
        shares = [(place * line["width_s"], share) for place, share in enumerate(curve["goodput"]) if share is not None]
        parts += [_steps(replicas, end, 120, kind), _steps(shares, end, 250, kind)]
    for phase, start in zip(line["phases"], _starts(line["phases"]), strict=True):
        x = _across(start, end)
        parts.append(f'<text class="small" x="{x:.0f}" y="272">load {phase["multiple"]:g}x</text>')
    words = (("ours", "by backlog seconds"), ("other", "by CPU share"))
    for place, (kind, text) in enumerate(words):
        x = 480 + 190 * place
        parts.append(
            f'<rect class="{kind}" x="{x}" y="12" width="14" height="10"/><text x="{x + 20}" y="22">{text}</text>'
        )
    parts.append(
        f'<text class="small" x="{LEFT // 2}" y="{height - 8}">{_source(path, line)}; limit: {line["limit"]}</text>'
    )
    return _svg("Replicas and goodput under a load curve", height, parts)


def _starts(phases: Sequence[dict[str, float]]) -> list[float]:
    return [sum(phase["seconds"] for phase in phases[:place]) for place in range(len(phases))]


def _across(at: float, end: float) -> float:
    return LEFT / 2 + (WIDTH - LEFT) * at / end


def _steps(points: Sequence[tuple[float, float]], end: float, bottom: int, kind: str) -> str:
    """A line that keeps each value until the next one; 1 is 85 units above the bottom."""
    first, *rest = points
    words = [f"M{_across(first[0], end):.1f} {bottom - 85 * first[1]:.1f}"]
    words += [f"H{_across(at, end):.1f} V{bottom - 85 * value:.1f}" for at, value in rest if at < end]
    return f'<path class="{kind}" d="{" ".join(words)} H{_across(end, end):.1f}"/>'


def render(source: Path) -> str:
    """A `.d2` file as SVG. Needs the extra `docs`, not the network."""
    d2 = Path(sys.executable).with_name("d2")
    command = [str(d2), *LAYOUT, str(source), "-"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def pictures() -> Iterator[tuple[Path, str]]:
    """Each picture's path and its SVG."""
    for source in sorted(PICTURES.glob("*.d2")):
        yield source.with_suffix(".svg"), render(source)
    yield from plots()


def plots() -> Iterator[tuple[Path, str]]:
    """Each plot's path and its SVG."""
    yield PICTURES / "results.svg", draw([peers_panel(), goodput_panel()])
    if any(RESULTS.glob("*-autoscaling.md")):
        yield PICTURES / "autoscaling.svg", autoscaling()


if __name__ == "__main__":
    for path, svg in plots() if sys.argv[1:] == ["plots"] else pictures():
        path.write_text(svg, encoding="utf-8")
