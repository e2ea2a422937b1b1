# `just` lists what there is.
default:
    @just --list

# What CI runs.
ci:
    .ci/run

# Everything the project promises.
test:
    cargo test

# The exchange scripts whose names hold a word: just exchanges upgrade
exchanges word="":
    ROPEWALK_EXCHANGES={{word}} cargo test --test it exchanges

# The tests that take too long for every day: bodies of 1 GiB.
test-long:
    ROPEWALK_LONG_TESTS=1 cargo test --release --test it bodies

# What a release must pass beyond `ci`: long bodies, and loom models with more preemptions.
release: test-long
    ROPEWALK_LONG_TESTS=1 cargo test --release --test loom

# Manual pages and completions, after a change to the command line; the schema and the reference of the
# configuration, after a change to its types; the messages of `check`, after a change to their wording.
generate:
    UPDATE_GENERATED=1 cargo test --test generated
    UPDATE_GENERATED=1 cargo test --lib config::schema
    UPDATE_GENERATED=1 cargo test --test api
    UPDATE_GENERATED=1 cargo test --test config messages
    UPDATE_GENERATED=1 cargo test --test config transcripts

# Formats the code.
fmt:
    cargo fmt

# What Clippy has to say.
lint:
    cargo clippy --all-targets -- -D warnings

# ropewalk beside its peers, as a Markdown report: just compare --quick
compare *options:
    cargo bench --bench compare -- {{options}}

# Three sample backends and the balancer.
demo:
    cargo run --release -- demo
