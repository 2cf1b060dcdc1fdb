//! Shows a server every buyer's token once, by a request that it refuses for its body: it has verified the
//! token by then, and remembers it.

use super::request::{Buyers, Orders};
use crate::limits;
use crate::load::Requests as _;
use crate::load::connection::Connection;
use anyhow::bail;
use futures::future::try_join_all;
use std::cell::Cell;
use std::net::SocketAddr;

/// Greets one server.
pub async fn run(server: SocketAddr, buyers: &Buyers) -> anyhow::Result<()> {
    let requests = Orders::new(buyers, vec![b"{}".to_vec()], "greeting".to_owned())?;
    let left = Cell::new(buyers.count());
    let clients = (0..limits::GREETING_CONNECTIONS).map(async |_| {
        let mut connection = Connection::open(server).await?;
        while left.get() > 0 {
            left.set(left.get() - 1);
            let write = |buffer: &mut Vec<u8>| requests.write_next(buffer);
            match connection.exchange(write, |answer| answer.status).await? {
                400 | 422 => {}
                other => bail!("{server} answered a greeting with {other}"),
            }
        }
        Ok(())
    });
    try_join_all(clients).await.map(|_| ())
}
