# For the scripts beside this file, which read it with `.`: what cargo does when it has to build something first.
# Afterwards it is silent, so that what a program says stands alone.

if ! command -v cargo >/dev/null; then
    echo "Error: there is no cargo here. Install Rust from https://rustup.rs and open a new terminal." >&2
    exit 1
fi

target=${CARGO_TARGET_DIR:-$root/target}

# first_build BINARY WHAT CARGO-OPTIONS: where nothing has been built yet, cargo shows how far it is.
first_build() {
    if [ -e "$target/$1" ]; then
        mind_others "${1%/*}"
        return
    fi
    echo "The first time, this compiles $2. That takes a minute or two." >&2
    if ! command -v cc >/dev/null; then
        echo "There is no cc here, the C compiler that Rust links with. Debian, Ubuntu: apt install build-essential" >&2
    fi
    shift 2
    cargo build --manifest-path "$root/Cargo.toml" "$@" >&2
}

# mind_others PROFILE: while another cargo builds this one waits, and a silent one would wait in silence.
mind_others() {
    if command -v flock >/dev/null; then
        held=0
        flock --nonblock "$target/$1/.cargo-lock" true 2>/dev/null || held=$?
        if [ "$held" -eq 1 ]; then
            echo "Another cargo is building here; this waits until it has finished ..." >&2
        fi
    fi
}

# run_lab ARGUMENTS: the laboratory, with these.
run_lab() {
    first_build debug/lab "the laboratory, some 50 crates" --package lab
    exec cargo run --quiet --manifest-path "$root/Cargo.toml" --package lab -- "$@"
}
