"""`python -m service`: read settings, build the app, serve. Ends with one clear line and an exit code if it cannot."""

from __future__ import annotations

import logging
import os
import sys

from models.errors import StoreDown
from service.app import create_app
from service.http.api_keys import BadKeys
from service.http.server import Server, SidecarServer, uvicorn_config
from service.http.wire.listening import CannotListen, address, listen
from service.settings import BadSetting, Settings, read_settings


def main() -> int:
    """Serve until a signal. Exit code: 0 after a clean end, 1 if the service could not run, 2 for a bad setting."""
    failures: list[str] = []
    try:
        settings = read_settings(os.environ)
        server = make_server(settings, failures)
        listener = listen(settings.server.host, settings.server.port)
    except (BadSetting, BadKeys) as error:
        return _end(2, str(error))
    except (StoreDown, CannotListen) as error:
        return _end(1, str(error))
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=settings.server.log_level.upper(), format=form, stream=sys.stderr)
    logging.getLogger("fitscore").info("listening on http://%s", address(*listener.getsockname()[:2]))
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn has closed everything and passes the signal on
        return 130
    return _end(1, *failures) if failures else 0


def _end(code: int, *sentences: str) -> int:
    for sentence in sentences:
        print(f"fitscore: {sentence}", file=sys.stderr)
    return code


def make_server(settings: Settings, failures: list[str]) -> Server:
    """The app in its server, which ends when the first model cannot be loaded and then adds to `failures`."""

    def fail(sentence: str) -> None:
        failures.append(sentence)
        server.should_exit = True

    app = create_app(settings, on_failure=fail)
    metrics = app.context.metrics
    sidecar = None
    if settings.server.metrics_port:
        config = uvicorn_config(app.operations, settings, metrics, lifespan="off")
        sidecar = SidecarServer(config, listen(settings.server.host, settings.server.metrics_port))
    config = uvicorn_config(app.guard, settings, metrics)
    server = Server(config, settings.server.drain_delay_s, app.context.lifecycle.drain, sidecar)
    return server


if __name__ == "__main__":
    sys.exit(main())
