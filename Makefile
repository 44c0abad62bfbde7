# make        builds the programs
# make run    runs all services in one process on embedded stores, data under ./data
# make bench  figures of the release build against their bars, see docs/PERFORMANCE.md
# make test   everything that must hold; starts its own ZooKeeper, etcd, MariaDB, RabbitMQ and MongoDB
.PHONY: build run bench test test-deps lint fmt

build:
	cargo build --release --workspace --bins --locked

run:
	cargo run --release --locked -p bcs -- server --data-dir data

bench: test-deps build
	cargo bench --locked -p bcs-integration-tests --bench storage

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
