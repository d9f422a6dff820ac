# Build: docker build -t sutazai-exporter .
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md ./
COPY exporter exporter
COPY jobs jobs
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir .

FROM python:3.12-slim
COPY --from=build /venv /venv
# A fixed number, so that the owner of a mounted base directory can be set beforehand.
RUN useradd --uid 10042 --home-dir /opt/sutazaiapp --create-home --shell /usr/sbin/nologin sutazai
USER 10042:10042
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 SUTAZAI_WEB__LISTEN_ADDRESS=0.0.0.0:10042
VOLUME /opt/sutazaiapp
EXPOSE 10042
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD \
    ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:10042/-/healthy', timeout=4)"]
# Run with --init: runs leave orphans behind when they are killed, and somebody has to bury them.
ENTRYPOINT ["sutazai-exporter"]
CMD ["serve"]
