# For the scripts beside this file, which read it with `.`: a first build that can be watched.

if ! command -v cargo >/dev/null; then
    echo "Error: there is no cargo here. Install Rust from https://rustup.rs and open a new terminal." >&2
    exit 1
fi

# first_build BINARY WHAT CARGO-OPTIONS: where nothing has been built yet that is a minute or more, and cargo shows how far it is.
# Afterwards it is silent, so that what a program says stands alone.
first_build() {
    file=${CARGO_TARGET_DIR:-$root/target}/$1
    what=$2
    shift 2
    if [ ! -e "$file" ]; then
        echo "The first time, this compiles $what. That can take a minute or two." >&2
        cargo build --manifest-path "$root/Cargo.toml" "$@" >&2
    fi
}

# run_lab ARGUMENTS: the laboratory, with these.
run_lab() {
    first_build debug/lab "the laboratory, some 50 crates" --package lab
    exec cargo run --quiet --manifest-path "$root/Cargo.toml" --package lab -- "$@"
}
