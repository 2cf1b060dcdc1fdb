//! What diners meet, through the edge: orders, outages, countdowns, and bad manners.

#![expect(clippy::unwrap_used, reason = "in a test the panic is the report")]

mod countdown;
mod feed;
mod known_ids;
mod manners;
mod menus;
mod ordering;
mod outage;
mod risk;
mod spellings;
