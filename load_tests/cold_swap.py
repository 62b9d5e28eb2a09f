"""`python -m load_tests.cold_swap [--candidates N]`: how many stored candidates are cold after a swap, with and without
a fill. Each request has 100 candidates by id and 400 ms.

The second version is the same bundle that reads one token less, so that none of its slots exist.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from load_tests.client import Connections
from load_tests.fire.process import started
from load_tests.report import table
from models.bundle.files import Bundle, save_bundle

WORDS = "wireless mouse keyboard usb red cotton shirt running shoes coffee mug steel bottle lamp desk chair".split()
LIST, DEADLINE_MS = 100, 400


def write_versions(bundle: Path, folder: Path) -> Path:
    """Two versions of the bundle; returns the first."""
    loaded = Bundle.load(bundle)
    manifest, text = loaded.manifest, loaded.manifest.text
    for version in (1, 2):
        own = text.model_copy(update={"candidate_tokens": text.candidate_tokens + 1 - version})
        changed = manifest.model_copy(update={"version": str(version), "text": own})
        save_bundle(folder / f"v{version}", changed, loaded.contents)
    return folder / "v1"


async def measure(bundle: Path, num: int, *, fill: bool) -> dict[str, object]:
    """One row: seconds until the second version is live, and the statuses of all candidates then."""
    rng = random.Random(0)
    stored = [{"id": f"p{number}", "text": " ".join(rng.choices(WORDS, k=20))} for number in range(num)]
    with tempfile.TemporaryDirectory() as folder:
        first = write_versions(bundle, Path(folder))
        store = f"lmdb:{folder}/store"
        async with started(bundle=first, store=store) as service, Connections(service.url) as connections:
            for at in range(0, num, LIST):
                await connections.put("/candidates", _raw({"candidates": stored[at : at + LIST]}))
            while json.loads((await connections.get("/candidates:progress")).body)["waiting"]:
                await asyncio.sleep(0.1)
            began = time.monotonic()
            await connections.post("/v1/models/2:activate", _raw({"fill": "stored"} if fill else {}))
            while not _is_live((await connections.get("/v1/models")).body):
                await asyncio.sleep(0.1)
            live_s, statuses = time.monotonic() - began, Counter[str]()
            for at in range(0, num, LIST):
                listed = [{"id": each["id"]} for each in stored[at : at + LIST]]
                body = {"member": {"text": "wireless mouse"}, "candidates": listed, "deadline_ms": DEADLINE_MS}
                answer = json.loads((await connections.post("/score", _raw(body))).body)
                statuses.update(each["status"] for each in answer.get("scores", [{"status": answer.get("code")}]))
    return {"swap": "filled" if fill else "at once", "live after": f"{live_s:.1f} s", **dict(statuses)}


def _raw(body: object) -> bytes:
    return json.dumps(body).encode()


def _is_live(raw: bytes) -> bool:
    return any(each["version"] == "2" and each["live"] for each in json.loads(raw)["models"])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m load_tests.cold_swap", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("models/products-v1"))
    parser.add_argument("--candidates", type=int, default=1000)
    options = parser.parse_args(argv)
    rows = [asyncio.run(measure(options.bundle, options.candidates, fill=fill)) for fill in (False, True) * 2]
    names = {name: None for row in rows for name in row}
    print(table([{name: str(row.get(name, 0)) for name in names} for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
