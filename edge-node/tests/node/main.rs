//! Real nodes in this process, real guests, real sockets. Start at `common`.

#![expect(clippy::unwrap_used, reason = "in a test the panic is the report")]

mod common;

mod cache;
mod canary;
mod check;
mod clients;
mod components;
mod composition;
mod cors;
mod feed;
mod floods;
mod hostile;
mod isolation;
mod known;
mod lifecycle;
mod outbound;
mod reload;
mod requests;
mod state;
mod tls;
mod uploads;
mod upstream;
