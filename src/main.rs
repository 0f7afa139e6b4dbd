//! domovoi
fn main() {}
