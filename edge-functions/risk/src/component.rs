//! The adapter: HTTP on one side, the imported scorer on the other.

use crate::document::{self, Fault};
use crate::limits::BODY_MAX_BYTES;
use crate::logic::{self, Assessment};
use http::request::Parts;
use spin_sdk::http::{IncomingMessage, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::http_compat::IncomingBody;
use tiffin_kit::answer::Answer;
use tiffin_kit::spin::{HostResponse, read_body, respond};

mod bindings {
    spin_sdk::wit_bindgen::generate!({
        path: "../../wit/risk.wit",
        world: "risk-client",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });
}

use bindings::tiffin::risk::scorer;

#[http_service]
async fn handle(request: Request) -> HostResponse {
    let (request, body) = request.into_parts();
    let answer = answer(&request, body).await.unwrap_or_else(|refusal| *refusal);
    respond(&request, answer)
}

async fn answer<M: IncomingMessage>(
    request: &Parts,
    body: IncomingBody<M>,
) -> Result<Answer, Box<Answer>> {
    logic::check(request)?;
    let body = read_body(body, BODY_MAX_BYTES)
        .await
        .map_err(|error| Box::new(error.into_answer(BODY_MAX_BYTES)))?;
    Ok(logic::answer(&body, score))
}

fn score(features: &document::Features) -> Result<Assessment, Vec<Fault>> {
    let assessment = scorer::score(contract(features)).map_err(|errors| {
        let fault = |error: scorer::FieldError| Fault { field: error.field, detail: error.detail };
        errors.into_iter().map(fault).collect::<Vec<_>>()
    })?;
    Ok(Assessment {
        score: assessment.score,
        decision: match assessment.decision {
            scorer::Decision::Allow => logic::Decision::Allow,
            scorer::Decision::Challenge => logic::Decision::Challenge,
            scorer::Decision::Deny => logic::Decision::Deny,
        },
        reasons: assessment.reasons,
        model_hash: assessment.model_hash,
    })
}

fn contract(features: &document::Features) -> scorer::Features {
    scorer::Features {
        action: match features.action {
            document::Action::Order => scorer::Action::Order,
            document::Action::Payment => scorer::Action::Payment,
            document::Action::CouponClaim => scorer::Action::CouponClaim,
            document::Action::CouponRedemption => scorer::Action::CouponRedemption,
            document::Action::SalePurchase => scorer::Action::SalePurchase,
            document::Action::GroupJoin => scorer::Action::GroupJoin,
        },
        account_age_days: features.account_age_days,
        orders_thirty_days: features.orders_30d,
        requests_last_minute: features.requests_last_minute,
        basket_minor: features.basket_minor,
        hour_local: features.hour_local,
        failed_payments_day: features.failed_payments_24h,
        distinct_cards_week: features.distinct_cards_7d,
        device_age_hours: features.device_age_hours,
        typical_basket_minor: features.typical_basket_minor,
        coupon_share_permille: features.coupon_share_permille,
        address_distance_m: features.address_distance_m,
    }
}
