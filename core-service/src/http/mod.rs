//! HTTP without a domain: how connections are kept ([`server`]), how requests are read ([`extract`]), how
//! they are refused ([`error`]), how answers carry validators ([`etag`]) and find their language
//! ([`lang`]), what every request passes through ([`layers`]), and how it is all described ([`openapi`]).

pub mod error;
pub mod etag;
pub mod extract;
pub mod lang;
pub mod layers;
pub mod limit;
pub mod openapi;
pub mod server;
