# Two images: `--target cpu` and `--target gpu`. Neither holds torch, the cookbook or a compiler.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# More extras, as "audit,otel".
ARG EXTRAS=
WORKDIR /build
RUN python3 -m venv /opt/venv
# The packages are not there yet, so this layer lasts until a dependency changes.
COPY pyproject.toml constraints.txt LICENSE ./

FROM builder AS cpu-venv
RUN /opt/venv/bin/pip install --constraint constraints.txt ".[service-cpu${EXTRAS:+,$EXTRAS}]" \
    && /opt/venv/bin/pip uninstall --yes fitscore setuptools pip

FROM builder AS gpu-venv
RUN /opt/venv/bin/pip install --constraint constraints.txt ".[service-gpu${EXTRAS:+,$EXTRAS}]" \
    && /opt/venv/bin/pip uninstall --yes fitscore setuptools pip

FROM scratch AS app
ARG BUNDLE=models/jobs-v1
COPY LICENSE NOTICE /app/
COPY models/*.py /app/models/
COPY models/bundle /app/models/bundle
COPY models/runtime /app/models/runtime
COPY models/scorers /app/models/scorers
COPY models/slots /app/models/slots
COPY service /app/service
COPY ${BUNDLE} /app/bundle

FROM ${BASE} AS runtime
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    FITSCORE_HOST=0.0.0.0 \
    FITSCORE_BUNDLE=/app/bundle
WORKDIR /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Alive, not ready: a container that is loading or draining must not be restarted. Probes ask /readyz for the rest.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ.get(\"FITSCORE_PORT\") or 8000}/livez', timeout=2)"]
CMD ["python", "-m", "service"]

FROM runtime AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    FITSCORE_DEVICE=cuda
COPY --from=gpu-venv /opt/venv /opt/venv
COPY --from=app /app /app

# Last, so that a build that names no target makes the smaller one.
FROM runtime AS cpu
COPY --from=cpu-venv /opt/venv /opt/venv
COPY --from=app /app /app
