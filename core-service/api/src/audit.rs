//! The audit: whether the ledger's tables agree with each other, and the gate's counters with them.

use crate::money::Currency;
use serde::{Deserialize, Serialize};

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditReport {
    /// Whether no check found anything.
    pub clean: bool,
    /// When it began. The tables were read as they were at one moment shortly after that.
    pub as_of_ms: i64,
    /// How long it took, ms.
    pub took_ms: u64,
    /// Every check, whatever it found.
    pub checks: Vec<AuditCheck>,
    /// All the money that was ever captured, by currency.
    pub money: Vec<AuditMoney>,
    /// The comparison of the gate's counters with the ledger; what it found is the check `gate`.
    pub gate: AuditGate,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditCheck {
    /// Its name, stable.
    pub check: String,
    /// What it compares.
    pub compares: String,
    /// Rows that it has looked at.
    pub rows: u64,
    /// Rows that break its rules; one that breaks two counts twice.
    pub violations: u64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<AuditExample>,
    /// How long it took, ms.
    pub took_ms: u64,
}

/// A row that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditExample {
    /// The rule.
    pub rule: String,
    /// Whose row it is, by ids.
    pub subject: String,
    /// What stands there, where the rule compares figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<i64>,
    /// What should stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<i64>,
}

/// The money of one currency, minor units: captured - refunded - owed = standing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditMoney {
    /// The currency.
    pub currency: Currency,
    /// What was captured.
    pub captured_minor: i64,
    /// What has gone back.
    pub refunded_minor: i64,
    /// What is on its way back, or could not be sent yet.
    pub owed_minor: i64,
    /// The totals of the orders whose money stands: paid, and not taken back.
    pub standing_minor: i64,
}

/// Whether the gate's counters could be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AuditGateState {
    /// They were.
    Compared,
    /// The fast store did not answer: that is no finding, the ledger decides without it.
    Unavailable,
    /// The audit had no fast store to ask.
    NotAsked,
}

/// The comparison of the gate's counters with the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditGate {
    /// Whether it took place.
    pub state: AuditGateState,
    /// Counters that were compared.
    pub compared: u64,
    /// Those that differed at the first look. A counter runs ahead of the ledger by what is on its way, so only
    /// one that still differs by as much at a second look, while its row has not moved, is a violation.
    pub off: u64,
}
