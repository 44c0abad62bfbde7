# make             builds the programs
# make run         runs all services in one process on embedded stores, data under ./data
# make bench       figures of the release build against their bars, see docs/PERFORMANCE.md; BENCHES=storage for one of them
# make image-tree  what the images add to their base, one directory tree a program, under build/image
# make package     the programs with their templates as tarballs, under build
# make test        everything that must hold; starts its own ZooKeeper, etcd, MariaDB, RabbitMQ and MongoDB
.PHONY: build run bench image-tree package test test-deps lint fmt

PROGRAMS = bcs-api bcs-storage bcs-user-manager bcs-cluster-manager bcs-check bcs
VERSION = $(shell git describe --tags --always)-$(shell date +%y.%m.%d)

build:
	cargo build --release --workspace --bins --locked

run:
	cargo run --release --locked -p bcs -- server --data-dir data

BENCHES = storage user_manager cluster_manager api check tunnel
bench: test-deps build
	cargo bench --workspace --locked $(BENCHES:%=--bench %)

image-tree: build
	for program in $(PROGRAMS); do scripts/image-tree.sh $$program target/release build/image/$$program || exit 1; done

# What --version and the registrations say.
package: export BCS_VERSION = $(VERSION)
package: export BCS_TAG = $(shell git describe --tags --always)
package: export BCS_BUILD_TIME = $(shell date +%Y-%m-%dT%T%z)
package: export BCS_GIT_HASH = $(shell git rev-parse HEAD)
package: build
	scripts/package.sh target/release build $(VERSION)

# The tests of bcs-integration-tests start the programs, which `cargo test` alone does not build.
test: test-deps
	cargo build --workspace --bins --locked
	cargo test --workspace --locked

test-deps:
	scripts/test-deps.sh

lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings

fmt:
	cargo fmt --all
