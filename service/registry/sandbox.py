"""A bundle loaded in a child process, under limits, before it comes near the live model.

What a graph can do to the process that opens it (crash, hang, take all memory) it does to the child. Knows how
bundles are loaded, and not which model is live.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from models.bundle.signature import TrustedSigner
from models.errors import BundleError
from models.runtime.providers import RunMode
from models.runtime.session import Device, resolve_device
from service.registry.loading import load_failure, load_model
from service.registry.warmup import BatchCaps

CHILD = (sys.executable, "-m", "service.registry.sandbox")
REFUSED = 3
"""The child's exit code when it ended by itself with a sentence."""
MAX_SENTENCE = 500


@dataclass(frozen=True)
class LoadLimits:
    """How a bundle is loaded, and what the child may take for it: seconds, and bytes beyond its libraries."""

    device: Device
    threads: int
    caps: BatchCaps
    run_mode: RunMode
    engines: Path
    signer_file: Path | None
    seconds: float
    bytes: int


TRIAL = TypeAdapter(LoadLimits)


class Ending(Exception):
    """The service is about to end: nothing is tried any more."""


class SandboxProcesses:
    """The trials under way, which end when the service does."""

    def __init__(self) -> None:
        self._changed = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ending = False

    def run(self, arguments: Sequence[str], seconds: float) -> tuple[int, bytes]:
        """Exit code and output. Raises TimeoutExpired, or Ending where `end` came first."""
        child = self._start(arguments)
        try:
            said, _ = child.communicate(timeout=seconds)
        finally:
            child.kill()
            child.communicate()
            with self._changed:
                self._running.discard(child)
        if self._ending and child.returncode == -signal.SIGKILL:
            raise Ending
        return child.returncode, said

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._changed:
            if self._ending:
                raise Ending
            # Not a fork: a copy of a process with threads may wait for a lock that none of its threads holds.
            child = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,
            )
            self._running.add(child)
            return child

    def end(self) -> None:
        """Kill what runs, and start nothing more."""
        with self._changed:
            self._ending = True
            for child in self._running:
                child.kill()


def load_in_sandbox(
    path: Path, trial: LoadLimits, command: Sequence[str] = CHILD, children: SandboxProcesses | None = None
) -> None:
    """Load a bundle in a child. Raises BundleError with one sentence unless it loads there and gives its answers."""
    arguments = [*command, str(path), TRIAL.dump_json(trial).decode()]
    try:
        code, said = (children or SandboxProcesses()).run(arguments, trial.seconds)
    except subprocess.TimeoutExpired:
        raise BundleError(f"{path} {_end(-signal.SIGALRM, trial)}") from None
    except Ending:
        raise BundleError(f"{path} was not tried to its end: the service is ending") from None
    if code == REFUSED:
        raise BundleError(said.decode(errors="replace").strip()[:MAX_SENTENCE])
    if code != 0:
        raise BundleError(f"{path} {_end(code, trial)}")


def _end(code: int, trial: LoadLimits) -> str:
    if code == -signal.SIGALRM:
        return f"was not loaded within {trial.seconds:g} s in a process of its own"
    if code == -signal.SIGXCPU:
        return f"took more than {_cpu_seconds(trial)} s of processor time in a process of its own"
    if code < 0:
        return f"crashed the process of its own that loaded it ({signal.Signals(-code).name})"
    return f"ended the process of its own that loaded it (exit code {code})"


def _environment() -> dict[str, str]:
    """The service's own, less its settings: there are keys among them."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("FITSCORE_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _cpu_seconds(trial: LoadLimits) -> int:
    return math.ceil(trial.seconds) * trial.threads


def main(arguments: Sequence[str]) -> int:
    """The child: bind itself, load, say what was wrong."""
    path, trial = Path(arguments[0]), TRIAL.validate_json(arguments[1])
    _bind(trial)
    try:
        load_model(
            path,
            device=trial.device,
            threads=trial.threads,
            caps=trial.caps,
            run_mode=trial.run_mode,
            engines=trial.engines,
            signer=TrustedSigner.read(trial.signer_file) if trial.signer_file else None,
        )
    except Exception as error:  # whatever a bundle makes the runtime raise ends in one sentence
        needed = f"{path} needs more than {trial.bytes >> 20} MiB of memory"
        sys.stdout.write(needed if _lacks_memory(error) else load_failure(error, path))
        return REFUSED
    return 0


def _bind(trial: LoadLimits) -> None:
    """Limits that hold even when the service is gone; live traffic comes first."""
    os.nice(10)
    signal.alarm(math.ceil(trial.seconds) + 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold whatever the bundle does
    cpu_s = _cpu_seconds(trial)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    if resolve_device(trial.device) == "cpu":  # CUDA maps far more addresses than it uses
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + trial.bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _lacks_memory(error: BaseException | None) -> bool:
    """Words are all that onnxruntime has for it."""
    while error is not None:
        if isinstance(error, MemoryError) or "alloc" in str(error):
            return True
        error = error.__cause__
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
