//! The three neighbouring ports of one run, all on the loopback interface.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, bail};

/// Which program listens where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    /// The edge, for diners.
    pub(crate) edge: u16,
    /// The core.
    pub(crate) core: u16,
    /// The edge's admin.
    pub(crate) admin: u16,
}

impl Ports {
    /// Checks that all three are free.
    ///
    /// # Errors
    /// Names the first port that is not.
    pub(crate) fn claim(first: u16) -> Result<Self> {
        let next = |by: u16| first.checked_add(by).context("three ports must follow each other");
        let ports = Self { edge: first, core: next(1)?, admin: next(2)? };
        for (port, who) in
            [(ports.edge, "edge"), (ports.core, "core"), (ports.admin, "edge's admin")]
        {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
                    "port {port}, which the {who} needs, is taken: choose three free ones with \
                     `--port N`, which uses N, N+1 and N+2"
                ),
                Err(error) => {
                    return Err(error).context(format!(
                        "port {port}, which the {who} needs, cannot be used; \
                         `--port N` chooses others"
                    ));
                }
            }
        }
        Ok(ports)
    }

    /// Where the edge listens, `host:port`.
    pub(crate) fn edge_address(&self) -> String {
        address(self.edge)
    }

    /// Where the core listens, `host:port`.
    pub(crate) fn core_address(&self) -> String {
        address(self.core)
    }

    /// Where the edge's admin listens, `host:port`.
    pub(crate) fn admin_address(&self) -> String {
        address(self.admin)
    }

    /// The edge's base URL.
    pub(crate) fn edge_url(&self) -> String {
        format!("http://{}", self.edge_address())
    }

    /// The core's base URL.
    pub(crate) fn core_url(&self) -> String {
        format!("http://{}", self.core_address())
    }
}

fn address(port: u16) -> String {
    format!("{}:{port}", Ipv4Addr::LOCALHOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_taken_port_is_named_with_its_user_and_the_way_out() {
        let (first, listeners) = three_free_ports();
        drop(listeners);
        assert_eq!(Ports::claim(first).unwrap().admin, first + 2);
        for (offset, who) in [(0, "edge"), (1, "core"), (2, "edge's admin")] {
            let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first + offset)).unwrap();
            let error = Ports::claim(first).unwrap_err().to_string();
            let expected = format!("port {}, which the {who} needs, is taken", first + offset);
            assert!(error.starts_with(&expected) && error.contains("--port"), "{error}");
            drop(taken);
        }
    }

    fn three_free_ports() -> (u16, Vec<TcpListener>) {
        loop {
            let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = first.local_addr().unwrap().port();
            let rest = [1, 2]
                .map(|by| TcpListener::bind((Ipv4Addr::LOCALHOST, port.checked_add(by)?)).ok());
            if let [Some(second), Some(third)] = rest {
                return (port, vec![first, second, third]);
            }
        }
    }
}
