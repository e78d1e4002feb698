# syntax=docker/dockerfile:1
# The image of Skyfleet: the operator, and the init container that loads weights in member clusters.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package skyfleet --bin skyfleet \
    && strip -o /skyfleet target/release/skyfleet

# Debian's C library and certificate authorities, the user 65532, and no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="skyfleet" \
      org.opencontainers.image.description="A Kubernetes operator for AI systems that live in several clouds at once" \
      org.opencontainers.image.source="https://github.com/skyfleet/skyfleet" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /skyfleet /usr/local/bin/skyfleet
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/skyfleet"]
