//! URLs of servers: which are understood, and how a database's name gets into one.

use anyhow::{Result, bail};

/// A MySQL server's URL in its two halves, around where a database's name goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    /// `mysql://user:password@host:port`
    before: String,
    /// Nothing, or `?key=value`.
    after: String,
}

impl ServerUrl {
    /// Our own server on that port: its root has no password, and only this machine reaches it.
    pub(crate) fn own(port: u16) -> Self {
        Self { before: format!("mysql://root@127.0.0.1:{port}"), after: String::new() }
    }

    /// Reads what a person gave; a database's name in it is left out.
    ///
    /// # Errors
    /// It is no MySQL URL.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let server = url.strip_prefix("mysql://").or_else(|| url.strip_prefix("mariadb://"));
        let (server, after) = match server {
            Some(rest) => rest.split_once('?').map_or((rest, None), |(a, b)| (a, Some(b))),
            None => bail!(
                "DATABASE_URL must be mysql://USER:PASSWORD@HOST:PORT/; unset it to have a private \
                 MariaDB started"
            ),
        };
        let authority = server.split('/').next().unwrap_or_default();
        if authority.is_empty() {
            bail!("DATABASE_URL names no host: it must be mysql://USER:PASSWORD@HOST:PORT/");
        }
        Ok(Self {
            before: format!("mysql://{authority}"),
            after: after.map(|options| format!("?{options}")).unwrap_or_default(),
        })
    }

    /// With that database's name, or none for the server itself.
    pub(crate) fn with_database(&self, name: &str) -> String {
        format!("{}/{name}{}", self.before, self.after)
    }
}

/// Checks a Redis URL that a person gave.
pub(crate) fn check_redis(url: &str) -> Result<()> {
    let known = ["redis://", "rediss://", "redis+unix://", "unix://"];
    if !known.iter().any(|scheme| url.starts_with(scheme)) {
        bail!("REDIS_URL must be redis://HOST:PORT/; unset it to have a private Redis started");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_between_server_and_options() {
        for (given, server, named) in [
            ("mysql://a:b@h:1", "mysql://a:b@h:1/", "mysql://a:b@h:1/t"),
            ("mysql://a:b@h:1/", "mysql://a:b@h:1/", "mysql://a:b@h:1/t"),
            ("mariadb://h/old", "mysql://h/", "mysql://h/t"),
            ("mysql://h/old?x=/y&z=1", "mysql://h/?x=/y&z=1", "mysql://h/t?x=/y&z=1"),
        ] {
            let url = ServerUrl::parse(given).unwrap();
            assert_eq!(url.with_database(""), server);
            assert_eq!(url.with_database("t"), named);
        }
        assert_eq!(ServerUrl::own(21_000).with_database("t"), "mysql://root@127.0.0.1:21000/t");
    }

    #[test]
    fn other_databases_are_refused_with_a_way_out() {
        for url in ["sqlite:x.db", "postgres://h/x", "h:3306", ""] {
            let error = ServerUrl::parse(url).unwrap_err().to_string();
            assert!(error.contains("must be mysql://") && error.contains("unset it"), "{error}");
        }
        assert!(ServerUrl::parse("mysql:///x").unwrap_err().to_string().contains("no host"));
        assert!(check_redis("http://h").unwrap_err().to_string().contains("unset it"));
        check_redis("redis://h:1/").unwrap();
    }
}
