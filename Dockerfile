# syntax=docker/dockerfile:1
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY csvdprep csvdprep
COPY data data
RUN python3 -m venv /opt/csvdprep \
 && /opt/csvdprep/bin/python -m pip install --no-cache-dir -c constraints.txt . \
 && find /opt/csvdprep -name '__pycache__' -prune -exec rm -rf {} +

FROM python:3.11-slim-bookworm
COPY --from=build /opt/csvdprep /opt/csvdprep
# A folder that is not empty keeps TemplateFlow from unpacking its skeleton into a HOME.
RUN mkdir -p /opt/templateflow && touch /opt/templateflow/.here \
 && chmod -R a+rX /opt/csvdprep /opt/templateflow
ENV PATH=/opt/csvdprep/bin:$PATH \
    TEMPLATEFLOW_HOME=/opt/templateflow \
    NO_ET=1 PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1
WORKDIR /tmp
ENTRYPOINT ["csvdprep"]
