//! bcs.
fn main() {}
