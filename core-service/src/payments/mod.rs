//! Payments: the money of an order, from the first ask to capture, and back if need be.
//!
//! [`state`] is the machine, pure. [`store`] keeps payments, [`apply`] is what the provider's word does to
//! a payment and its order, whichever way the word came: as the answer to our ask
//! ([`http`]), as a signed webhook ([`webhook`]) or when a job asks again ([`reconcile`]). [`refund`] queues
//! money back and a job sends it. [`sandbox`] is the provider.

pub mod apply;
pub mod commands;
pub mod http;
pub mod reconcile;
pub mod refund;
pub mod sandbox;
pub mod signature;
pub mod state;
pub mod store;
pub mod webhook;

use crate::app::App;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// The routes of this module.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    http::routes().merge(webhook::routes())
}
