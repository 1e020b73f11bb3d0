# The service alone: its pinned requirements, app/ and migrations/. No compiler, no tests, no simulator.
#   docker build -t ticker-service:0.1.0 .

FROM python:3.12-slim AS build
COPY requirements.txt /requirements.txt
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r /requirements.txt

FROM python:3.12-slim
# Logs are the only thing that the service writes to a disk of its own; the root file system may be read-only.
RUN groupadd --gid 10001 ticker \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin ticker \
    && install -d -o 10001 -g 10001 /var/log/ticker
COPY --from=build /venv /venv
WORKDIR /srv
COPY app app
COPY migrations migrations
RUN /venv/bin/python -m compileall -q app migrations
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ENVIRONMENT=production \
    HOST=0.0.0.0 \
    PORT=8080 \
    LOG_DIR=/var/log/ticker
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); c.request('GET', '/health/live'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve"]
