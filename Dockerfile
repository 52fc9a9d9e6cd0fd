# Two images: `--target operator` (no libvirt in it) and `--target node-agent`. `make images` builds both; docs/supply-chain.md says how and why.
# pip's settings and the certificates that it trusts come from whoever builds, as secrets of the build: nothing of them is left.

FROM debian:trixie-slim AS python
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/* /var/lib/dpkg/*-old \
 && find /usr -name __pycache__ -prune -exec rm -rf {} + \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3.13
# 65534, nobody: the one user beside root that each host knows, and libvirt refuses whom its host does not know
ENV PYTHONDONTWRITEBYTECODE=1 PATH=/opt/vmferry/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin


FROM python AS builder
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-pip
ENV PIP_CONFIG_FILE=/run/secrets/pip.conf PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# Bytecode that depends on the source alone, so that each build has the same and no file's time counts. Of the Kubernetes client that
# does not know asyncio, which comes with the one that does, none: 20 MB that nobody would load.
ENV COMPILE="env PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash -x /kubernetes/client/(models|api)/"
WORKDIR /build
COPY requirements-build.txt .
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt \
    python3 -m venv --without-pip /opt/build && python3 -m venv --without-pip /opt/vmferry \
 && pip --python /opt/build/bin/python install --require-hashes -r requirements-build.txt


# What the operator needs of others, as its lock has it; what has been downloaded is noted for the bill of materials.
FROM builder AS operator-dependencies
COPY requirements-operator.txt .
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt \
    pip --python /opt/build/bin/python download --require-hashes --no-deps --dest artifacts -r requirements-operator.txt \
 && pip --python /opt/vmferry/bin/python install --no-index --no-deps --no-compile artifacts/* \
 && find /opt/vmferry/bin -type f -delete && $COMPILE /opt/vmferry \
 && (cd artifacts && sha256sum *) > /opt/vmferry/artifacts.sha256

# What is vmferry's own: only the packages that are copied here get into the wheel.
FROM operator-dependencies AS operator-package
COPY pyproject.toml README.md LICENSE ./
COPY crds/vmferry_api crds/vmferry_api
COPY kube/vmferry_kube kube/vmferry_kube
COPY operator/vmferry_operator operator/vmferry_operator
RUN pip --python /opt/build/bin/python wheel --no-index --no-build-isolation --no-deps --wheel-dir . . \
 && pip --python /opt/vmferry/bin/python install --no-index --no-deps --no-compile --prefix /package vmferry-*.whl \
 && find /package/bin -type f ! -name vmferry-operator -delete \
 && $COMPILE /package


FROM python AS operator
COPY --from=operator-dependencies /opt/vmferry /opt/vmferry
COPY --from=operator-package /package /opt/vmferry
USER 65534:65534
ENTRYPOINT ["vmferry-operator"]
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="vmferry-operator" \
      org.opencontainers.image.description="Decides what should be in force for each live migration of the cluster" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"


# The same for the agent; libvirt-python is compiled, against the libvirt of the image, and its wheel's hash, which pip notes, is to be
# the same each time.
FROM builder AS agent-dependencies
RUN DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc libc6-dev libvirt-dev pkg-config python3-dev
COPY requirements-agent.txt .
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt \
    pip --python /opt/build/bin/python download --require-hashes --no-deps --no-build-isolation --dest artifacts -r requirements-agent.txt \
 && SOURCE_DATE_EPOCH=315532800 CFLAGS=-g0 pip --python /opt/build/bin/python wheel --no-index --no-build-isolation --no-deps --wheel-dir wheels artifacts/* \
 && pip --python /opt/vmferry/bin/python install --no-index --no-deps --no-compile wheels/* \
 && find /opt/vmferry/bin -type f -delete && $COMPILE /opt/vmferry \
 && (cd artifacts && sha256sum *) > /opt/vmferry/artifacts.sha256

FROM agent-dependencies AS agent-package
COPY pyproject.toml README.md LICENSE ./
COPY crds/vmferry_api crds/vmferry_api
COPY kube/vmferry_kube kube/vmferry_kube
COPY node_agent/vmferry_agent node_agent/vmferry_agent
RUN pip --python /opt/build/bin/python wheel --no-index --no-build-isolation --no-deps --wheel-dir . . \
 && pip --python /opt/vmferry/bin/python install --no-index --no-deps --no-compile --prefix /package vmferry-*.whl \
 && find /package/bin -type f ! -name vmferry-agent -delete \
 && $COMPILE /package


FROM python AS node-agent
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libvirt0 \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/* /var/lib/dpkg/*-old
COPY --from=agent-dependencies /opt/vmferry /opt/vmferry
COPY --from=agent-package /package /opt/vmferry
USER 65534:65534
ENTRYPOINT ["vmferry-agent"]
CMD ["run"]
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="vmferry-agent" \
      org.opencontainers.image.description="Carries out the live migrations from and to one node" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
