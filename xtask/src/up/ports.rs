//! The three neighbouring ports of one run, all on the loopback interface.

use std::io::{self, ErrorKind};
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
        Self::claim_by(first, |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop))
    }

    fn claim_by(first: u16, bind: impl Fn(u16) -> io::Result<()>) -> Result<Self> {
        let next = |by: u16| first.checked_add(by).context("three ports must follow each other");
        let ports = Self { edge: first, core: next(1)?, admin: next(2)? };
        for (port, who) in
            [(ports.edge, "edge"), (ports.core, "core"), (ports.admin, "edge's admin")]
        {
            match bind(port) {
                Ok(()) => {}
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
        for (taken, who) in [(3000, "edge"), (3001, "core"), (3002, "edge's admin")] {
            let bind = |port| match port == taken {
                true => Err(ErrorKind::AddrInUse.into()),
                false => Ok(()),
            };
            let error = Ports::claim_by(3000, bind).unwrap_err().to_string();
            let expected = format!("port {taken}, which the {who} needs, is taken");
            assert!(error.starts_with(&expected) && error.contains("--port"), "{error}");
        }
        let ports = Ports::claim_by(3000, |_| Ok(())).unwrap();
        assert_eq!(ports, Ports { edge: 3000, core: 3001, admin: 3002 });
    }

    #[test]
    fn a_listener_takes_its_port() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let error = Ports::claim(listener.local_addr().unwrap().port()).unwrap_err();
        assert!(error.to_string().contains("is taken"), "{error}");
    }

    #[test]
    fn the_last_ports_have_no_neighbours() {
        assert!(Ports::claim_by(u16::MAX, |_| Ok(())).is_err());
    }
}
