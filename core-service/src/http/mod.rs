//! HTTP without a domain: how requests are read ([`extract`]), how they are refused ([`error`]), how
//! answers carry validators ([`etag`]) and find their language ([`lang`]), and what every request passes through ([`layers`]).

pub mod error;
pub mod etag;
pub mod extract;
pub mod lang;
pub mod layers;
