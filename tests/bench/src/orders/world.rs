//! What runs: the services, a database for each system with the same catalogue in it, the programs.
//!
//! Each system has its own database and its own numbered database of Redis, so that none meets another's
//! rows, keys or leases; all share the two daemons and the keys that tokens are signed with.

use super::baseline::LockOrder;
use super::greet;
use super::measure::Running;
use super::request::{Buyers, TokenUse};
use super::store::{self, Item};
use crate::limits;
use crate::process::Process;
use crate::progress::Progress;
use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum as _;
use core_service::auth::keys::Keys;
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tiffin_fixtures::catalogue;
use tiffin_services::{Options, Services, WhenInUse, last_words};

/// A way of taking orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// The core.
    Core,
    /// Baseline (a).
    RowLock,
    /// Baseline (b).
    AsyncAck,
}

impl System {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Core, Self::RowLock, Self::AsyncAck];

    /// Its name in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::RowLock => "row-lock",
            Self::AsyncAck => "async-ack",
        }
    }
}

/// Where a system keeps what it knows.
#[derive(Debug, Clone)]
pub struct Place {
    /// The name of its database.
    pub database: String,
    /// The number of its database of Redis.
    redis_database: usize,
}

/// A place with the catalogue in it.
#[derive(Debug, Clone)]
pub struct Market {
    /// Where it is.
    pub place: Place,
    /// The one hot item.
    pub hot: Item,
    /// Many items of many stores.
    pub wide: Vec<Item>,
    /// Items that sell out.
    pub scarce: Vec<Item>,
}

/// Everything that the scenarios share.
pub struct World {
    core: PathBuf,
    logs: PathBuf,
    data: PathBuf,
    catalogue: PathBuf,
    services: Services,
    markets: BTreeMap<String, Market>,
    /// The core's keys.
    pub keys: Keys,
    /// Who orders.
    pub buyers: Buyers,
    /// Connections to the database server.
    pub pool: MySqlPool,
}

impl World {
    /// Starts the services and makes the keys.
    pub async fn start(
        core: &Path,
        out: &Path,
        token_use: TokenUse,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        ensure!(
            core.is_file(),
            "--core {} is no file; build it with `cargo build --release -p core-service`",
            core.display()
        );
        progress.step("starting MariaDB and Redis");
        let out = std::path::absolute(out)?;
        let services = Services::start(&Options {
            folder: out.join("services"),
            when_in_use: WhenInUse::NextFolder,
            fresh: true,
            ..Options::named("bench")
        })?;
        let (logs, data) = (out.join("logs"), out.join("core-data"));
        for folder in [&logs, &data] {
            // What an earlier run left would be mistaken for this one's.
            _ = std::fs::remove_dir_all(folder);
            std::fs::create_dir_all(folder)?;
        }
        let catalogue = data.join("catalogue.jsonl");
        std::fs::write(&catalogue, catalogue_rows())?;
        let keys = Keys::load_or_create(&data)?;
        let pool = MySqlPoolOptions::new().max_connections(3);
        let pool =
            pool.connect(&services.database_url()).await.context("cannot reach the database")?;
        progress.step("signing tokens");
        let buyers = Buyers::sign(&keys, token_use);
        let core = std::path::absolute(core)?;
        let markets = BTreeMap::new();
        Ok(Self { core, logs, data, catalogue, services, markets, keys, buyers, pool })
    }

    /// Stops the services.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.pool.close().await;
        self.services.stop()
    }

    /// Processor time used so far, by who used it, s.
    pub fn services_cpu_s(&self) -> [Option<f64>; 2] {
        let of = |daemon: anyhow::Result<&tiffin_services::Daemon>| {
            crate::usage::cpu_s(daemon.ok()?.pid()?)
        };
        [of(self.services.mariadb()), of(self.services.redis())]
    }

    /// Where Redis is.
    pub fn redis_url(&self) -> &str {
        self.services.redis_url()
    }

    /// Variables of the database server.
    pub async fn database_settings<const N: usize>(
        &self,
        names: [&str; N],
    ) -> anyhow::Result<[String; N]> {
        let mut conn = self.pool.acquire().await?;
        let mut values = names.map(|_| String::new());
        for (value, name) in values.iter_mut().zip(names) {
            *value = store::setting(&mut conn, name).await?;
        }
        Ok(values)
    }

    fn redis_url_of(&self, place: &Place) -> String {
        format!("{}/{}", self.redis_url().trim_end_matches('/'), place.redis_database)
    }

    /// The database of this name, made by a core and filled with the catalogue on first use.
    async fn market(&mut self, name: &str) -> anyhow::Result<Market> {
        if let Some(market) = self.markets.get(name) {
            return Ok(market.clone());
        }
        let place = Place {
            database: format!("tiffin_bench_{}", name.replace('-', "_")),
            redis_database: self.markets.len(),
        };
        store::drop_database(&self.pool, &place.database).await?;
        let core = self.serve_core(&format!("{name}-import"), &place).await?;
        let mut import = Command::new(&self.core);
        import.arg("import").arg(&self.catalogue).arg("--data").arg(&self.data);
        import.arg("--core").arg(format!("http://{}", core.address));
        let output = import.output().context("cannot start the import")?;
        if !output.status.success() {
            bail!("the import failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        core.stop().await?;
        let database = &place.database;
        let hot = store::items(&self.pool, database, "hot").await?;
        let market = Market {
            hot: *hot.first().context("the hot item is missing")?,
            wide: store::items(&self.pool, database, "wide-").await?,
            scarce: store::items(&self.pool, database, "scarce-").await?,
            place,
        };
        ensure!(market.wide.len() == limits::WIDE_ITEMS, "{} items", market.wide.len());
        self.markets.insert(name.to_owned(), market.clone());
        Ok(market)
    }

    /// Starts the core on the database of this name.
    pub async fn start_core(&mut self, name: &str) -> anyhow::Result<Running> {
        let market = self.market(name).await?;
        let process = self.serve_core(name, &market.place).await?;
        Running::new(self, System::Core, market, vec![process]).await
    }

    /// Starts one more core on the database of a running one.
    pub async fn start_replica(&self, of: &Running) -> anyhow::Result<Process> {
        let replica = self.serve_core("core-replica", &of.market.place).await?;
        self.greet(replica.address).await?;
        Ok(replica)
    }

    async fn serve_core(&self, name: &str, place: &Place) -> anyhow::Result<Process> {
        let mut command = Command::new(&self.core);
        command.arg("serve").arg("--data").arg(&self.data);
        command.arg("--database").arg(self.services.database_url_for(&place.database));
        command.env("TIFFIN_REDIS_URL", self.redis_url_of(place));
        command.arg("--held-units").arg(limits::HELD_UNITS.to_string());
        command.arg("--pay-within-s").arg(limits::CORE_PAY_WITHIN_S.to_string());
        Process::serve(name, command, &self.logs).await
    }

    /// Makes the tokens known to a server, if they are to be.
    pub async fn greet(&self, server: SocketAddr) -> anyhow::Result<()> {
        match self.buyers.token_use {
            TokenUse::Known => greet::run(server, &self.buyers).await,
            TokenUse::Fresh => Ok(()),
        }
    }

    /// Starts the row-lock baseline.
    pub async fn start_row_lock(&mut self, lock: LockOrder, pool: u32) -> anyhow::Result<Running> {
        let lock = lock.to_possible_value().context("a lock order has a name")?;
        let arguments = ["--lock", lock.get_name(), "--pool", &pool.to_string()].map(str::to_owned);
        self.start_baseline(System::RowLock, &arguments).await
    }

    /// Starts the async-ack baseline.
    pub async fn start_async_ack(&mut self) -> anyhow::Result<Running> {
        let market = self.market(System::AsyncAck.name()).await?;
        let arguments = ["--redis".to_owned(), self.redis_url_of(&market.place)];
        self.start_baseline(System::AsyncAck, &arguments).await
    }

    async fn start_baseline(
        &mut self,
        system: System,
        arguments: &[String],
    ) -> anyhow::Result<Running> {
        let market = self.market(system.name()).await?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("baseline").arg(system.name()).arg("--data").arg(&self.data);
        command.arg("--database").arg(self.services.database_url_for(&market.place.database));
        command.args(arguments);
        let process = Process::serve(system.name(), command, &self.logs).await?;
        Running::new(self, system, market, vec![process]).await
    }

    /// The end of a system's log, for a report of something that went wrong.
    pub fn last_words(&self, name: &str) -> String {
        last_words(&self.logs.join(format!("{name}.log")))
    }
}

/// What everything costs.
const PRICE_MINOR: i64 = 1_200;

/// The catalogue: one hot item, items that sell out, and many items of many stores, all always served.
fn catalogue_rows() -> String {
    let mut rows = catalogue::store("hot-store");
    rows.push(catalogue::item("hot-store", "hot", PRICE_MINOR, limits::HUGE_STOCK_UNITS));
    for n in 0..limits::SCARCE_ITEMS {
        rows.push(catalogue::item(
            "hot-store",
            &format!("scarce-{n}"),
            PRICE_MINOR,
            limits::SCARCE_STOCK_UNITS,
        ));
    }
    for store in 0..limits::WIDE_STORES {
        let name = format!("store-{store}");
        rows.extend(catalogue::store(&name));
        for n in 0..limits::WIDE_ITEMS / limits::WIDE_STORES {
            rows.push(catalogue::item(
                &name,
                &format!("wide-{n}"),
                PRICE_MINOR,
                limits::HUGE_STOCK_UNITS,
            ));
        }
    }
    rows.iter().map(|row| format!("{row}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core_service::catalog::state;
    use tiffin_api::import::Row;

    #[test]
    fn the_catalogue_is_one_that_the_core_takes() {
        let rows = catalogue_rows();
        let rows: Vec<Row> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut items = 0;
        for row in &rows {
            match row {
                Row::Store(store) => assert!(state::check_store(store).is_empty(), "{store:?}"),
                Row::Item(item) => {
                    items += 1;
                    assert!(state::check_item(item).is_empty(), "{item:?}");
                }
                Row::Category(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(items, 1 + limits::SCARCE_ITEMS + limits::WIDE_ITEMS);
    }
}
