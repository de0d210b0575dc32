# One image for every role: `crm-sweep worker` by default, or any other command given as arguments.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/crm-sweep
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY config config
COPY jobs jobs
COPY worker worker
COPY restore restore
COPY web web
COPY cli cli
COPY simulator simulator
# pip itself is of no use in the final image.
RUN /opt/crm-sweep/bin/pip install --constraint constraints.txt '.[tracing]' \
 && /opt/crm-sweep/bin/pip uninstall --yes pip

FROM python:${PYTHON}-slim
RUN groupadd --gid 10001 crm-sweep \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin crm-sweep \
 && install --directory --owner 10001 --group 10001 /data
COPY --from=build /opt/crm-sweep /opt/crm-sweep
ENV PATH=/opt/crm-sweep/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# A number, so that `runAsNonRoot` and volumes can rely on it.
USER 10001:10001
# Relative paths of lists, reports and the state directory of `crm-sweep run` start here.
WORKDIR /data
# `crm-sweep api` listens on this port; a worker listens on none.
EXPOSE 8080
# The worker finishes the batches in flight before it exits.
STOPSIGNAL SIGTERM
# No HEALTHCHECK: a worker answers no requests. It exits on its own when it cannot work, and `state_reason: no_worker`
# tells when none is alive. For the API, docker-compose.yml checks /readyz.
ENTRYPOINT ["crm-sweep"]
CMD ["worker"]
