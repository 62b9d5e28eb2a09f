"""The clients for JavaScript: one process of node for each call. NODE_MODULES is the folder of the packages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.matrix.asking import KEY, Ask, Client, Found, found

SCRIPT = Path(__file__).with_name("node.mjs")


def by(name: str) -> Callable[[Ask], Found]:
    """A call by the function with this name in node.mjs."""

    def rank(ask: Ask) -> Found:
        # Packages are looked up from the folder of the script.
        script = Path(os.environ["NODE_MODULES"]).parent / SCRIPT.name
        shutil.copy(SCRIPT, script)
        asked = {"url": ask.url, "key": KEY, "query": ask.query, "documents": ask.documents, "topN": ask.top_n}
        done = subprocess.run(
            ["node", str(script), name], input=json.dumps(asked), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        answer = json.loads(done.stdout)
        return found(answer["ranking"], answer["tokens"])

    return rank


CLIENTS = (
    Client("cohere-ai", "CohereClientV2", "environment: URL", "/v2/rerank", by("cohereV2"), waits=True),
    Client("cohere-ai", "CohereClient with objects", "environment: URL", "/v1/rerank", by("cohereV1"), waits=True),
    Client(
        "@langchain/cohere", "CohereRerank", "client with environment: URL", "/v1/rerank", by("langchain"), waits=True
    ),
    Client("@ai-sdk/cohere", "rerank of ai", "createCohere({baseURL: URL/v2})", "/v2/rerank", by("vercel"), waits=True),
)
