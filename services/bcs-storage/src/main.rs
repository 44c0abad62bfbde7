//! bcs-storage.
fn main() {}
