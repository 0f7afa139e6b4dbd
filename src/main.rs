//! The `domovoi` binary: everything is in the library.

/// Millions of small values that one thread makes and another drops: see docs/decisions/0014.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    std::process::exit(domovoi::cli::run());
}
