//! What diners meet, through the edge: orders, outages, countdowns, and bad manners.

mod countdown;
mod manners;
mod menus;
mod ordering;
mod outage;
mod risk;
