# certstamp alone: no shell, no package manager, no root. The builder is pinned by digest; the version beside it is for people.
# A job container of a CI system needs a shell and cannot be this: there the plain binary runs on the agent (docs/releases.md).
ARG GO=docker.io/library/golang:1.26.8-bookworm@sha256:a688600ca24f8a4d3ca77f95b0dd40704a9fc787c826660eb7ba0b641b8b175d

FROM ${GO} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN ["go", "mod", "download"]
COPY . .
ARG VERSION=devel
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off
RUN go build -trimpath -buildvcs=false -ldflags="-s -w -buildid= -X main.version=${VERSION}" -o /out/certstamp ./cmd/certstamp

# --build-context build=FOLDER puts a folder with out/certstamp and etc/ssl/certs/ca-certificates.crt in the place of the stage
# above, and the image is made of files that are there already: scripts/image.sh does that.
FROM scratch
ARG VERSION=devel
ARG REVISION=unknown
LABEL org.opencontainers.image.title="certstamp" \
      org.opencontainers.image.description="External certificates of Azure Stack Hub stamps, from request to rotation" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/certstamp /certstamp
WORKDIR /repository
USER 65532:65532
ENTRYPOINT ["/certstamp"]
