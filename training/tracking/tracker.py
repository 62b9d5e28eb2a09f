"""What takes the numbers of a training: one protocol, and the ends that a run chose. Knows no model and no loop.

A step trains in several places, each with a folder; a curve is named by its folder. The choice of ends goes with the
run and not with each call, so it is a context variable: it decides no output.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from training.tracking.files import FileTracker

Values = Mapping[str, float]
End = Literal["mlflow", "tensorboard"]
ENDS: tuple[End, ...] = ("mlflow", "tensorboard")


class Tracker(Protocol):
    """Takes the numbers of one curve."""

    def note(self, step: int, values: Values) -> None:
        """Numbers of a step, by name. A resumed training may note a step again."""

    def close(self) -> None:
        """Write what waits."""


@dataclass(frozen=True)
class Tracking:
    """The ends of a run besides files, the folder that curves' names are relative to, and what is known of it."""

    ends: tuple[End, ...] = ()
    root: Path = Path()
    facts: Mapping[str, str] = field(default_factory=dict)

    def name(self, folder: Path) -> str:
        """The curve's name, such as `teach/seed-0`."""
        return folder.relative_to(self.root).as_posix() if folder.is_relative_to(self.root) else folder.name


FILES_ALONE = Tracking()
_CHOSEN: ContextVar[Tracking] = ContextVar("tracking", default=FILES_ALONE)


@contextmanager
def tracking(chosen: Tracking) -> Iterator[None]:
    """Curves of the block go to the chosen ends too."""
    token = _CHOSEN.set(chosen)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


@contextmanager
def open_curve(folder: Path, *, is_main: bool) -> Iterator[Tracker]:
    """The ends of the curve that is trained in `folder`; none where another process writes. Raises UserError."""
    if not is_main:
        yield _Several(())
        return
    chosen = _CHOSEN.get()
    several = _Several((FileTracker(folder), *(_careful(each, chosen, folder) for each in chosen.ends)))
    try:
        yield several
    finally:
        several.close()


def _careful(end: End, chosen: Tracking, folder: Path) -> Tracker:
    return _Careful(end, _opened(end, chosen, folder))


def _opened(end: End, chosen: Tracking, folder: Path) -> Tracker:
    if end == "mlflow":
        from training.tracking.mlflow_runs import MlflowTracker

        return MlflowTracker(folder, chosen.name(folder), chosen.facts)
    from training.tracking.tensorboard_events import TensorBoardTracker

    return TensorBoardTracker(chosen.root / "tensorboard" / chosen.name(folder), chosen.facts)


def check_ends(ends: Sequence[End]) -> None:
    """Raise UserError for an end whose library is not installed, before hours of training."""
    for end in ends:
        if end == "mlflow":
            from training.tracking.mlflow_runs import import_mlflow

            import_mlflow()
        else:
            from training.tracking.tensorboard_events import import_writer

            import_writer()


@dataclass(frozen=True)
class _Several:
    trackers: tuple[Tracker, ...]

    def note(self, step: int, values: Values) -> None:
        for each in self.trackers:
            each.note(step, values)

    def close(self) -> None:
        for each in self.trackers:
            each.close()


@dataclass(eq=False)
class _Careful:
    """An end that may fail, such as a server: it is left out from then on, and training goes on."""

    name: str
    inner: Tracker
    failed: bool = False

    def note(self, step: int, values: Values) -> None:
        if not self.failed:
            self._try(lambda: self.inner.note(step, values))

    def close(self) -> None:
        if not self.failed:
            self._try(self.inner.close)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # each library has its own
            self.failed = True
            sys.stderr.write(
                f"tracking: {self.name} takes no more numbers ({type(error).__name__}); training goes on\n"
            )
