# Three images from one file: what builds, a node, and the controller. It uses nothing
# that only BuildKit knows. `make image-base` makes stand-ins of the two base images
# where no registry can be reached.

FROM golang:1.26-bookworm AS build
ARG GOPROXY=https://proxy.golang.org,direct
ARG GOSUMDB=sum.golang.org
ENV GOPROXY=$GOPROXY GOSUMDB=$GOSUMDB CGO_ENABLED=0
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN go build -trimpath -buildvcs=false -ldflags="-s -w" -o /out/ ./cmd/checker ./cmd/target
LABEL dev.ordeal.image=build

# What nodes and controller have in common.
FROM debian:bookworm-slim AS common
ENV LC_ALL=C.UTF-8
# Packages that make keys when they are installed would put those into the image.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      iproute2 iptables openssh-client openssh-server openssh-sftp-server procps sudo \
 && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_*

# A node: it can be logged in to, and hurt.
FROM common AS node
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends e2fsprogs faketime mount \
 && rm -rf /var/lib/apt/lists/*
COPY docker/sshd_config /etc/ordeal/sshd_config
COPY docker/node-start /usr/local/bin/node-start
COPY --from=build /out/target /usr/local/bin/target
CMD ["/usr/local/bin/node-start"]

# The controller.
FROM common AS control
COPY docker/nodes /etc/ordeal/nodes
COPY docker/control-start docker/checker /usr/local/bin/
COPY --from=build /out/ /usr/local/lib/ordeal/
WORKDIR /work
CMD ["/usr/local/bin/control-start"]
