# promptq and what it needs to run, nothing of what it takes to develop it.

FROM python:3.13-slim AS build

ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore 'uv>=0.8,<1'
WORKDIR /src

# The lock also holds the tools of development. What runs is the project's own dependencies, at the lock's versions and
# with the lock's hashes: a line that is not the lock's ends the build.
COPY pyproject.toml requirements.lock ./
RUN cp requirements.lock runtime.lock \
    && uv pip compile pyproject.toml --output-file runtime.lock --universal --python-version 3.11 \
        --generate-hashes --no-header --no-annotate --quiet \
    && ! grep -vxFf requirements.lock runtime.lock
RUN uv venv --python "$(command -v python)" /opt/promptq \
    && uv pip sync --require-hashes --python /opt/promptq/bin/python runtime.lock

COPY LICENSE README.md ./
COPY api api
COPY cli cli
COPY domain domain
COPY executors executors
COPY storage storage
COPY tasks tasks
RUN uv build --wheel --build-constraints requirements.lock --require-hashes --out-dir dist \
    && uv pip install --offline --no-deps --python /opt/promptq/bin/python dist/*.whl


FROM python:3.13-slim

RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/promptq --shell /usr/sbin/nologin promptq
COPY --from=build /opt/promptq /opt/promptq
ENV PATH=/opt/promptq/bin:$PATH PYTHONUNBUFFERED=1 PROMPTQ_DATA_DIR=/var/lib/promptq
USER 10001:10001
WORKDIR /var/lib/promptq
EXPOSE 4096 5555
ENTRYPOINT ["promptq"]
CMD ["--help"]
