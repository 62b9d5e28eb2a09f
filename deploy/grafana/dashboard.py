"""The Grafana dashboard as code: `python -m deploy.grafana.dashboard` writes dashboard.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.grafana.panels import ROWS, Panel

FILE = Path(__file__).parent / "dashboard.json"
WIDTH, HEIGHT, COLUMNS = 8, 8, 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def panels() -> Iterator[dict[str, Any]]:
    """Rows and panels with their places."""
    top = 0
    for row, (title, group) in enumerate(ROWS.items()):
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"type": "row", "id": 100 * (row + 1), "title": title, "collapsed": False, "gridPos": place, "panels": []}
        top += 1
        for num, panel in enumerate(group):
            x, y = num * WIDTH % COLUMNS, top + num * WIDTH // COLUMNS * HEIGHT
            yield _panel(panel, 100 * (row + 1) + num + 1, {"x": x, "y": y, "w": WIDTH, "h": HEIGHT})
        top += -(-len(group) * WIDTH // COLUMNS) * HEIGHT


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + num), "datasource": DATASOURCE, "expr": expression, "legendFormat": legend}
        for num, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "type": "timeseries",
        "id": number,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    }


def _choice(label: str) -> dict[str, Any]:
    return {
        "name": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": f'label_values(up{{job="fitscore"}}, {label})',
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def dashboard() -> dict[str, Any]:
    """The whole dashboard."""
    source = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    return {
        "title": "Fitscore",
        "uid": "fitscore",
        "tags": ["fitscore"],
        "schemaVersion": 41,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [source, _choice("namespace"), _choice("instance")]},
        "panels": list(panels()),
    }


def rendered() -> str:
    """The file's text."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(rendered(), encoding="utf-8")
