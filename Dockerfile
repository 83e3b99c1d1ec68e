# Build:  docker build --build-arg VERSION=0.1.0 -t csvdprep:0.1.0 .
# The base gives Python 3.11 on Debian 12; every package comes at the version of constraints.txt.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY csvdprep csvdprep
COPY data data
# pip stays outside. The tests of these libraries are imported by nothing; nilearn's, nipype's and
# nibabel's are, and stay.
RUN python3 -m venv --without-pip /opt/csvdprep \
 && python3 -m pip --python /opt/csvdprep/bin/python install -c constraints.txt . \
 && cd /opt/csvdprep/lib/python3.*/site-packages \
 && for package in dipy h5py matplotlib networkx nitransforms numpy pandas prov scipy skimage \
        sklearn statsmodels traits transforms3d; do \
        find "$package" -type d -name tests -prune -exec rm -rf {} +; \
    done \
 && find /opt/csvdprep -type d -name __pycache__ -prune -exec rm -rf {} + \
 && /opt/csvdprep/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash . \
 && chmod -R a+rX,go-w /opt/csvdprep

FROM python:3.11-slim-bookworm
# Upstream images come without the byte code of the standard library; one that has it keeps it.
RUN python3 -c 'import compileall, sysconfig; compileall.compile_dir(sysconfig.get_path("stdlib"), \
        quiet=2, maxlevels=2)' \
 && mkdir /opt/templateflow \
 && touch /opt/templateflow/.here
COPY --from=build /opt/csvdprep /opt/csvdprep
ARG VERSION=dev
ARG TAG=csvdprep:${VERSION}
LABEL org.opencontainers.image.title="csvdprep" \
      org.opencontainers.image.description="A BIDS App that measures cerebral small vessel disease from MRI" \
      org.opencontainers.image.source="https://github.com/csvdprep/csvdprep" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# A folder that is not empty keeps TemplateFlow from unpacking its skeleton into a HOME. Engines
# differ in the HOME that they give a user without an entry in /etc/passwd: here there is none, and
# what wants one gets a folder of the working directory.
ENV HOME=/nonexistent \
    PATH=/opt/csvdprep/bin:$PATH \
    TEMPLATEFLOW_HOME=/opt/templateflow \
    CSVDPREP_CONTAINER_TYPE=docker \
    CSVDPREP_CONTAINER_TAG=${TAG} \
    LANG=C.UTF-8 NO_ET=1 ORT_DISABLE_TELEMETRY=1 PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1 \
    OMP_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1
# The first process of a container ignores SIGTERM until it asks for it, but hears SIGINT at once.
STOPSIGNAL SIGINT
WORKDIR /tmp
ENTRYPOINT ["csvdprep"]
