//! Real nodes in this process, real guests, real sockets. Start at `common`.

mod common;

mod components;
mod hostile;
mod lifecycle;
mod outbound;
mod requests;
mod state;
