# One target for each service, and `bcs` for everything in one process and the operator's tools:
#
#   docker build --target bcs-storage -t bcs/bcs-storage:v1.20.10 .
#
# Paths, start script and working directory are those of the charts (configs/helm). BASE may be any glibc system with
# bash and coreutils; BUILDER any with Rust, a C compiler and cmake.
ARG BUILDER=rust:1.95-bookworm
ARG BASE=debian:bookworm-slim

FROM ${BUILDER} AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
# What `--version` and the registrations say.
ARG BCS_VERSION BCS_TAG BCS_BUILD_TIME BCS_GIT_HASH
WORKDIR /src
COPY . .
RUN cargo build --release --locked --workspace --bins
RUN for program in bcs-api bcs-storage bcs-user-manager bcs-cluster-manager bcs-check bcs; do \
        scripts/image-tree.sh "$program" target/release "/trees/$program" || exit 1; \
    done

FROM ${BASE} AS base
# The public certificate authorities, for databases and clouds that are checked against them.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*

FROM base AS bcs-api
COPY --from=build /trees/bcs-api/ /
WORKDIR /data/bcs/bcs-api/
CMD ["/data/bcs/bcs-api/container-start.sh"]

FROM base AS bcs-user-manager
COPY --from=build /trees/bcs-user-manager/ /
WORKDIR /data/bcs/bcs-user-manager/
CMD ["/data/bcs/bcs-user-manager/container-start.sh"]

FROM base AS bcs-cluster-manager
COPY --from=build /trees/bcs-cluster-manager/ /
WORKDIR /data/bcs/bcs-cluster-manager/
CMD ["/data/bcs/bcs-cluster-manager/container-start.sh"]

FROM base AS bcs-check
COPY --from=build /trees/bcs-check/ /
WORKDIR /data/bcs/bcs-check/
CMD ["/data/bcs/bcs-check/container-start.sh"]

FROM base AS bcs-storage
COPY --from=build /trees/bcs-storage/ /
WORKDIR /data/bcs/bcs-storage/
CMD ["/data/bcs/bcs-storage/container-start.sh"]

# Everything in one process. Its data is in /data/bcs/data: mount a volume there to keep it.
FROM base AS bcs
COPY --from=build /trees/bcs/ /
WORKDIR /data/bcs/
CMD ["/usr/local/bin/bcs", "server", "--data-dir", "/data/bcs/data", "--address", "0.0.0.0"]
