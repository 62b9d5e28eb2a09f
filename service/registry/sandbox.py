"""Loads a bundle in a child process, under limits, before it is loaded beside the live model.

A graph can crash, hang or exhaust the process that opens it: here that is the child. Knows how bundles are loaded, and
not which model is live.
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
from pathlib import Path

from pydantic import TypeAdapter

from models.bundle.signature import TrustedSigner
from models.errors import BundleError
from models.runtime.session import resolve_device
from service.registry.loading import load_failure, load_model
from service.registry.warmup import BatchCaps
from service.settings import ModelSettings

CHILD = (sys.executable, "-m", "service.registry.sandbox")
REJECTED = 3
"""The child's exit code when it printed why the bundle cannot be loaded."""
MAX_SENTENCE = 500


ARGUMENTS = TypeAdapter(tuple[Path, ModelSettings, BatchCaps])


class ServiceStopping(Exception):
    """The service is stopping: no more bundles are loaded."""


class SandboxProcesses:
    """The running child processes, which end with the service."""

    def __init__(self) -> None:
        self._changed = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopping = False

    def run(self, arguments: Sequence[str], seconds: float) -> tuple[int, bytes]:
        """Exit code and output. Raises TimeoutExpired, or ServiceStopping if `end` is called first."""
        child = self._start(arguments)
        try:
            output, _ = child.communicate(timeout=seconds)
        finally:
            child.kill()
            child.communicate()
            with self._changed:
                self._running.discard(child)
        if self._stopping and child.returncode == -signal.SIGKILL:
            raise ServiceStopping
        return child.returncode, output

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._changed:
            if self._stopping:
                raise ServiceStopping
            # Not a fork: the copy of a process with threads may wait for a lock that none of its threads holds.
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
        """Kill the running children, and start no more."""
        with self._changed:
            self._stopping = True
            for child in self._running:
                child.kill()


def load_in_sandbox(
    path: Path, settings: ModelSettings, caps: BatchCaps, processes: SandboxProcesses, command: Sequence[str] = CHILD
) -> None:
    """Load a bundle in a child. Raises BundleError with one sentence unless it loads and gives its known answers."""
    arguments = ARGUMENTS.dump_json((path, settings, caps)).decode()
    try:
        code, output = processes.run([*command, arguments], settings.trial_s)
    except subprocess.TimeoutExpired:
        raise BundleError(f"{path} {_reason(-signal.SIGALRM, settings)}") from None
    except ServiceStopping:
        raise BundleError(f"{path} was not loaded: the service is stopping") from None
    if code == REJECTED:
        raise BundleError(output.decode(errors="replace").strip()[:MAX_SENTENCE])
    if code != 0:
        raise BundleError(f"{path} {_reason(code, settings)}")


def _reason(code: int, settings: ModelSettings) -> str:
    if code == -signal.SIGALRM:
        return f"did not load within {settings.trial_s:g} s in a sandbox process"
    if code == -signal.SIGXCPU:
        return f"took more than {_cpu_seconds(settings)} s of processor time in a sandbox process"
    if code < 0:
        return f"crashed the sandbox process that loaded it ({signal.Signals(-code).name})"
    return f"ended the sandbox process that loaded it (exit code {code})"


def _environment() -> dict[str, str]:
    """The environment of the service without its settings, which include keys."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("FITSCORE_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _cpu_seconds(settings: ModelSettings) -> int:
    return math.ceil(settings.trial_s) * settings.threads


def main(arguments: Sequence[str]) -> int:
    """The child: limit itself, load the bundle, print what is wrong."""
    path, settings, caps = ARGUMENTS.validate_json(arguments[0])
    _limit_process(settings)
    try:
        load_model(path, settings, caps, TrustedSigner.read(settings.signer_file) if settings.signer_file else None)
    except Exception as error:  # a bundle can make the runtime raise anything
        needed = f"{path} needs more than {settings.trial_bytes >> 20} MiB of memory"
        sys.stdout.write(needed if _lacks_memory(error) else load_failure(error, path))
        return REJECTED
    return 0


def _limit_process(settings: ModelSettings) -> None:
    """Limit this process. The limits hold even if the service is gone. Live traffic has a higher priority."""
    os.nice(10)
    signal.alarm(math.ceil(settings.trial_s) + 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold the bundle
    cpu_s = _cpu_seconds(settings)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    if resolve_device(settings.device) == "cpu":  # CUDA maps far more addresses than it uses
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + settings.trial_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _lacks_memory(error: BaseException | None) -> bool:
    """Whether memory ran out; onnxruntime reports that by words only."""
    while error is not None:
        if isinstance(error, MemoryError) or "alloc" in str(error):
            return True
        error = error.__cause__
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
