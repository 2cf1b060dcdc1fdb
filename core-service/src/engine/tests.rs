//! The engine over a real ledger.
