//! Edge function: stores and menus.
//!
//! Here is the Spin adapter; what a request means and how it is answered is in [`logic`].

pub mod logic;

#[cfg(target_family = "wasm")]
mod component {
    use crate::logic;
    use http::request::Parts;
    use spin_sdk::http::Request;
    use spin_sdk::http_service;
    use tiffin_kit::answer::Answer;
    use tiffin_kit::spin::{HostResponse, fetch, now_ms, respond, traceparent};

    #[http_service]
    async fn handle(request: Request) -> HostResponse {
        let (request, _body) = request.into_parts();
        let answer = answer(&request).await.unwrap_or_else(|refusal| *refusal);
        respond(&request, answer)
    }

    async fn answer(request: &Parts) -> Result<Answer, Box<Answer>> {
        let plan = logic::plan(request)?;
        let wanted = plan.wanted(traceparent(&request.headers));
        let fetched = fetch::fetch(&logic::POLICY, wanted).await?;
        Ok(plan.answer(fetched, now_ms()))
    }
}
