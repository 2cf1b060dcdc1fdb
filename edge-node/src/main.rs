//! edge-node
fn main() {}
