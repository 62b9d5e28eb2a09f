"""The service with a planted delay: each model run takes some milliseconds more for each of its texts or pairs.

The delay costs no CPU, as with an accelerator, so several replicas on one machine really add capacity.
"""

from __future__ import annotations

import runpy
import sys
import time

from models.runtime.session import Feeds, Outputs, Session


def delay_runs(delay_s: float) -> None:
    """Delay each run of a graph by its number of rows."""
    run = Session.run_all

    def run_delayed(session: Session, feeds: Feeds) -> Outputs:
        outputs = run(session, feeds)
        time.sleep(delay_s * max(len(array) for array in feeds.values()))
        return outputs

    # Replaced on purpose, in this process only.
    Session.run_all = run_delayed  # type: ignore[method-assign, assignment]  # see above


if __name__ == "__main__":
    delay_runs(float(sys.argv.pop(1)) / 1000)
    runpy.run_module("service", run_name="__main__", alter_sys=True)
