//! Test-bed programs.
fn main() {}
