# One container: the static server, page embedded, and nothing else.
#
#   docker build -t runnel .        docker run -p 8080:8080 runnel
#
# Everything comes from crates.io, npm, rustup and Debian, through `cargo xtask`, so the container
# holds what `cargo xtask build` makes anywhere.
ARG RUST_IMAGE=rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
# npm brings wasm-opt (Debian's is too old for today's rustc), musl-tools a C compiler for musl. rustc is
# the one the image came with, whatever its name: rustup would fetch another if its default differed.
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends musl-tools nodejs npm \
 && rm -rf /var/lib/apt/lists/* \
 && rustup default "$(rustup toolchain list | sed 's/ .*//;q')"
WORKDIR /src
# Where xtask keeps its tools; outside the sources, so that the layer below holds them.
ENV XDG_CACHE_HOME=/cache CARGO_TARGET_DIR=/cache/target CARGO_INCREMENTAL=0

# Trunk and wasm-bindgen, ten minutes to compile, in a layer that only a change of versions or of
# xtask repeats. Cargo wants every member of the workspace to exist, so the others are empty here.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY protos/Cargo.toml protos/
COPY server/Cargo.toml server/
COPY web/Cargo.toml web/
COPY crates/client/Cargo.toml crates/client/
COPY crates/forward/Cargo.toml crates/forward/
COPY crates/limits/Cargo.toml crates/limits/
COPY crates/page/Cargo.toml crates/page/
COPY crates/rpc/Cargo.toml crates/rpc/
COPY crates/serve/Cargo.toml crates/serve/
COPY crates/tls/Cargo.toml crates/tls/
COPY crates/wire/Cargo.toml crates/wire/
COPY tests/Cargo.toml tests/
COPY tests/conformance/Cargo.toml tests/conformance/
COPY tests/journal/Cargo.toml tests/journal/
COPY bench/Cargo.toml bench/
COPY xtask xtask
RUN touch protos/lib.rs \
 && for member in server web crates/* tests tests/conformance tests/journal bench; do \
      mkdir "$member/src" && touch "$member/src/lib.rs"; \
    done \
 && cargo xtask setup

COPY . .
# Into the image's root-to-be: static, hence musl, and of the machine that builds.
RUN binary=$(cargo xtask build --target "$(uname -m)-unknown-linux-musl") \
 && mkdir /image \
 && cp "$binary" /image/runnel

FROM scratch
LABEL org.opencontainers.image.title="Runnel" \
      org.opencontainers.image.description="One server, one port: the page, gRPC-Web and gRPC" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
# The certificates to trust, for backends over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /image/runnel /runnel
# An unprivileged user, by number, because the image has no names of users.
USER 65532:65532
# The default elsewhere is loopback, which only the container itself could reach.
# The admin port is only for the container's own network; publish 8080 only.
ENV RUNNEL_LISTEN=[::]:8080 RUNNEL_ADMIN_LISTEN=[::]:9090
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/runnel", "healthcheck"]
ENTRYPOINT ["/runnel"]
