# The image of tusfm, and one of MinIO, whose makers publish none any more (docs/adr/0007-minio-from-its-source.md).
#
#   docker build --tag tusfm .
#   docker build --tag tusfm-minio --target minio .
#
# What each stage begins with can be chosen: a mirror, a digest, or a base of one's own with Python 3.11 or newer.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm
ARG GO_IMAGE=docker.io/library/golang:1.26-bookworm
ARG DEBIAN_IMAGE=docker.io/library/debian:bookworm-slim


FROM ${GO_IMAGE} AS minio-build
ARG MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
RUN CGO_ENABLED=0 GOBIN=/made go install -trimpath -ldflags=-s "github.com/minio/minio@${MINIO_VERSION}"


FROM ${DEBIAN_IMAGE} AS minio
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 10001 -g 10001 /data
COPY --from=minio-build /made/minio /usr/local/bin/minio
# MinIO does not start where it has no home; some runtimes give a user without a name none.
ENV HOME=/tmp
USER 10001:10001
EXPOSE 9000
ENTRYPOINT ["minio"]
CMD ["server", "--quiet", "/data"]


# The tools stay in this stage's own environment; /opt/tusfm holds what runs, and not even pip.
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY constraints.txt ./
RUN python3 -m venv /tools \
    && /tools/bin/pip install -q -c constraints.txt pip setuptools \
    && python3 -m venv --without-pip /opt/tusfm
# The libraries change seldom: they are a layer of their own, made for a package that is still empty.
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY tusfm/__init__.py tusfm/
RUN /tools/bin/pip wheel -q -c constraints.txt --no-build-isolation --wheel-dir /wheels . \
    && /tools/bin/pip --python /opt/tusfm/bin/python install -q --no-deps /wheels/*.whl


FROM build AS page
COPY tusfm/web tusfm/web
RUN /tools/bin/python tusfm/web/build.py


FROM build AS installed
COPY compat_api compat_api
COPY migrations migrations
COPY tusfm tusfm
COPY --from=page /src/tusfm/web/dist tusfm/web/dist
RUN /tools/bin/pip wheel -q --no-deps --no-build-isolation --wheel-dir /made . \
    && /tools/bin/pip --python /opt/tusfm/bin/python install -q --no-deps --force-reinstall /made/*.whl


FROM ${PYTHON_IMAGE} AS tusfm
LABEL org.opencontainers.image.title="tusfm" \
      org.opencontainers.image.description="A server for resumable uploads (tus 1.0.0)" \
      org.opencontainers.image.licenses="MIT"
COPY --from=installed /opt/tusfm /opt/tusfm
RUN groupadd --gid 10001 tusfm \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin tusfm \
    && install -d -o tusfm -g tusfm /data
ENV PATH=/opt/tusfm/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TUSFM_DATA_DIR=/data
USER 10001:10001
EXPOSE 8000
# Its root file system may be read-only, with room for small files at /tmp; without MySQL and S3 a volume belongs at /data.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["tusfm"]
CMD ["serve", "--host", "0.0.0.0"]
