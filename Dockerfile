# The one image of the grid: the static binary and nothing else.
FROM golang:1.26.8 AS build
WORKDIR /src

# The module proxy and the checksum data base to build with, for networks that have their own; empty is Go's default.
ARG GOPROXY
ARG GOSUMDB
ARG GONOSUMDB

# The modules are a layer of their own, which a change of our code leaves standing.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 GOFLAGS=-buildvcs=false \
    go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/taskgrid ./cmd/taskgrid
# scratch has no shell to make a folder with: the journal's is made here and copied with its owner.
RUN mkdir /out/data

FROM scratch
COPY --from=build /out/taskgrid /taskgrid
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENTRYPOINT ["/taskgrid"]
