//! The `domovoi` binary: everything is in the library.

fn main() {
    std::process::exit(domovoi::cli::run());
}
