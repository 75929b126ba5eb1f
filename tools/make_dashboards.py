"""Write the Grafana dashboards in deploy/grafana/.

python -m tools.make_dashboards
"""

import json
from pathlib import Path

from tools.grafana.cameras import cameras
from tools.grafana.devices import devices
from tools.grafana.panels import Json

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "grafana"
DASHBOARDS = {"cameras.json": cameras, "devices.json": devices}


def text(page: Json) -> str:
    """Return a dashboard as its file has it."""
    return json.dumps(page, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, make in DASHBOARDS.items():
        (FOLDER / name).write_text(text(make()), encoding="utf-8")
