//! core-service
fn main() {}
