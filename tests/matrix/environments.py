"""The environments of the clients: some exclude each other, and none has a package of the service."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TESTS = ("pytest==9.2.0", "pytest-timeout==2.4.0")


@dataclass(frozen=True)
class Environment:
    """`modules` are those in `clients/` that run in it; `pins` come from PyPI and `npm` from npm."""

    name: str
    modules: tuple[str, ...]
    pins: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()


ENVIRONMENTS = (
    Environment(
        "cohere-5",
        ("cohere_sdk", "langchain"),
        ("cohere==5.21.1", "langchain-cohere==0.6.0", "langchain-community==0.4.2", "infinity-client==0.0.78"),
    ),
    Environment(
        "cohere-6",
        ("cohere_sdk", "llama_index"),
        (
            "cohere==6.1.0",
            "llama-index-postprocessor-cohere-rerank==0.10.0",
            "llama-index-postprocessor-jinaai-rerank==0.6.0",
            "llama-index-postprocessor-tei-rerank==0.6.0",
            "llama-index-postprocessor-mixedbreadai-rerank==0.7.0",
            "llama-index-postprocessor-voyageai-rerank==0.6.0",
        ),
    ),
    Environment(
        "cohere-7",
        ("cohere_sdk", "haystack"),
        ("cohere==7.3.1", "cohere-haystack==11.0.0", "jina-haystack==2.0.1", "huggingface-api-haystack==3.1.0"),
    ),
    Environment("litellm", ("litellm_rerank",), ("litellm==1.110.2",)),
    Environment(
        "small",
        ("voyage", "mixedbread_sdk", "rerankers_api", "hub", "generated"),
        (
            "voyageai==0.5.0",
            "mixedbread==0.54.0",
            "rerankers==0.10.0",
            "huggingface_hub==1.33.0",
            "openapi-python-client==0.29.1",
        ),
    ),
    Environment(
        "node",
        ("node",),
        npm=("cohere-ai@8.1.0", "@langchain/cohere@1.0.5", "ai@6.0.326", "@ai-sdk/cohere@3.0.63"),
    ),
)


def install(environment: Environment, folder: Path) -> Path:
    """Install an environment into a folder, unless the same one is there. Returns its interpreter."""
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = "\n".join((*TESTS, *environment.pins, *environment.npm))
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        pip = (str(python), "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check")
        _run(*pip, *TESTS, *environment.pins)
        if environment.npm:
            npm = ("npm", "install", "--silent", "--no-fund", "--no-audit", "--no-package-lock", "--no-save")
            _run(*npm, "--prefix", str(folder / "node"), *environment.npm)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
