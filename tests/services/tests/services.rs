//! The real daemons: started, killed, restarted, left behind by a crash.
//!
//! Each test has its own folder and its own daemons. [`sql`] and [`redis`] are the smallest clients
//! that can tell whether data is still there.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use tiffin_services::{Daemon, Durability, Options, Services, WhenInUse, command};

/// How long a process may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

fn relaxed(folder: &Path) -> Options {
    Options::own(folder, Durability::Relaxed)
}

/// What the server answers, without the columns' names.
fn sql(services: &Services, statement: &str) -> String {
    let port = services.mariadb().expect("it is ours").port();
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "--host=127.0.0.1", "--user=root", "--skip-column-names"]);
    client.arg(format!("--port={port}")).args(["--execute", statement]);
    command::ask(&mut client).expect("the server takes it")
}

/// Redis's answer to an inline command, one line of it.
fn redis(services: &Services, line: &str) -> String {
    let mut stream =
        TcpStream::connect(("127.0.0.1", services.redis().expect("it is ours").port()))
            .expect("it listens");
    stream.write_all(format!("{line}\r\n").as_bytes()).expect("it reads");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("it answers");
    answer.trim().to_owned()
}

fn pid(daemon: &Daemon) -> i32 {
    daemon.pid().expect("it runs").try_into().expect("a process id")
}

fn is_alive(pid: i32) -> bool {
    // A zombie still takes signals, but nobody would reap it: it has ended.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z ")) && kill(Pid::from_raw(pid), None).is_ok()
}

fn wait_until_gone(pid: i32) {
    let deadline = Instant::now() + GONE_WITHIN;
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "process {pid} still runs");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn committed_rows_survive_kills_and_new_starts() {
    let folder = tempfile::tempdir().unwrap();
    let services = Services::start(&Options::own(folder.path(), Durability::Durable)).unwrap();
    let port = services.mariadb().unwrap().port();
    assert_eq!(services.database_url_for("t"), format!("mysql://root@127.0.0.1:{port}/t"));
    sql(&services, "CREATE DATABASE t; CREATE TABLE t.rows_kept (id BIGINT PRIMARY KEY)");

    for round in 1..=3 {
        sql(&services, &format!("INSERT INTO t.rows_kept VALUES ({round})"));
        let mariadb = services.mariadb().unwrap();
        let before = pid(mariadb);
        mariadb.kill().unwrap();
        assert_eq!(mariadb.pid(), None);
        assert!(!is_alive(before));
        mariadb.restart().unwrap();
        assert_ne!(pid(mariadb), before);
        assert_eq!(mariadb.port(), port, "clients find it where it was");
        assert_eq!(sql(&services, "SELECT COUNT(*) FROM t.rows_kept"), round.to_string());
    }
    let pids = [pid(services.mariadb().unwrap()), pid(services.redis().unwrap())];
    drop(services);
    assert!(!pids.iter().any(|&pid| is_alive(pid)), "dropping stops both");

    let again = Services::start(&Options::own(folder.path(), Durability::Durable)).unwrap();
    assert_eq!(sql(&again, "SELECT COUNT(*) FROM t.rows_kept"), "3");
    again.stop().unwrap();
}

#[test]
fn durability_is_what_was_asked_for() {
    let settings = |services: &Services| {
        sql(
            services,
            "SELECT CONCAT_WS(' ', @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite, \
             @@innodb_flush_method, @@innodb_buffer_pool_size >> 20, @@innodb_log_file_size >> 20, \
             @@character_set_server, @@collation_server, @@log_bin, @@max_connections, \
             @@performance_schema, @@skip_name_resolve)",
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let services = Services::start(&relaxed(folder.path())).unwrap();
    assert_eq!(settings(&services), "0 OFF nosync 128 96 utf8mb4 utf8mb4_bin OFF 400 OFF ON");
    assert_eq!(sql(&services, "SHOW DATABASES LIKE 'test%'"), "");
    services.stop().unwrap();

    // The same data serves both; its log is resized at the start.
    let services = Services::start(&Options::own(folder.path(), Durability::Durable)).unwrap();
    assert_eq!(settings(&services), "1 ON O_DIRECT 1024 1024 utf8mb4 utf8mb4_bin OFF 400 OFF ON");
}

#[test]
fn redis_forgets_and_stays_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let services = Services::start(&relaxed(folder.path())).unwrap();
    let daemon = services.redis().unwrap();
    assert_eq!(services.redis_url(), format!("redis://127.0.0.1:{}/", daemon.port()));
    assert_eq!(redis(&services, "SET gate 7"), "+OK");
    daemon.kill().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", daemon.port())).is_err());
    daemon.restart().unwrap();
    assert_eq!(redis(&services, "GET gate"), "$-1", "nothing was saved");
    assert_eq!(redis(&services, "SET gate 8"), "+OK");
    daemon.stop().unwrap();
    daemon.restart().unwrap();
    assert_eq!(redis(&services, "GET gate"), "$-1", "not at an orderly stop either");
}

#[test]
fn nothing_outlives_a_killed_holder_and_the_next_start_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Command::new(env!("CARGO_BIN_EXE_tiffin-services"))
        .arg(folder.path())
        .env_remove("DATABASE_URL")
        .env_remove("REDIS_URL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let mut value = |name: &str| {
        let line = lines.next().expect("four lines").unwrap();
        line.strip_prefix(name).unwrap_or_else(|| panic!("{line}")).to_owned()
    };
    let port = value("DATABASE_URL=mysql://root@127.0.0.1:");
    value("REDIS_URL=redis://127.0.0.1:");
    let pids: Vec<i32> =
        ["MARIADB_PID=", "REDIS_PID="].map(|name| value(name).parse().unwrap()).into();
    assert!(pids.iter().all(|&pid| is_alive(pid)));
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "--host=127.0.0.1", "--user=root", "--port"]);
    client.arg(port.trim_end_matches('/')).args(["--execute", "CREATE DATABASE kept"]);
    command::ask(&mut client).unwrap();

    holder.kill().unwrap();
    holder.wait().unwrap();
    // At once: whoever comes next need not wait for the daemons to be gone.
    let services = Services::start(&relaxed(folder.path())).unwrap();
    assert_eq!(sql(&services, "SHOW DATABASES LIKE 'kept'"), "kept");
    pids.into_iter().for_each(wait_until_gone);
}

#[test]
fn a_holder_whose_input_closes_stops_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Command::new(env!("CARGO_BIN_EXE_tiffin-services"))
        .arg(folder.path())
        .env_remove("DATABASE_URL")
        .env_remove("REDIS_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = String::new();
    holder.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert!(holder.wait().unwrap().success());
    assert_eq!(output.lines().count(), 4, "{output}");
    let log = fs::read_to_string(folder.path().join("mariadb.log")).unwrap();
    assert!(log.contains("Shutdown complete"), "{log}");
}

#[test]
fn a_folder_in_use_is_refused_or_a_neighbour_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = relaxed(&dir.path().join("own"));
    let first = Services::start(&options).unwrap();
    let error = Services::start(&options).unwrap_err().to_string();
    assert!(error.contains("own is in use by another process"), "{error}");
    options.when_in_use = WhenInUse::NextFolder;
    let second = Services::start(&options).unwrap();
    assert_eq!(second.folder(), Some(dir.path().join("own-2").as_path()));
    assert_ne!(first.database_url(), second.database_url());
    assert_eq!(redis(&first, "PING"), "+PONG");
}

#[test]
fn an_installation_that_was_cut_short_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    drop(Services::start(&redis_only(folder.path())).unwrap());
    fs::create_dir_all(folder.path().join("mariadb.new/mysql")).unwrap();
    let services = Services::start(&relaxed(folder.path())).unwrap();
    assert_eq!(sql(&services, "SELECT 1"), "1");
    assert!(!folder.path().join("mariadb.new").exists());
}

/// A server that would have to be ours to be reached.
const ELSEWHERE: &str = "mysql://someone:secret@db.example:3306/old?ssl-mode=REQUIRED";

fn redis_only(folder: &Path) -> Options {
    let mut options = relaxed(folder);
    options.database_url = Some(ELSEWHERE.to_owned());
    options
}

#[test]
fn a_server_that_was_named_is_used_and_is_not_ours_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let services = Services::start(&redis_only(folder.path())).unwrap();
    let server = "mysql://someone:secret@db.example:3306/";
    assert_eq!(services.database_url(), format!("{server}?ssl-mode=REQUIRED"));
    assert_eq!(services.database_url_for("t"), format!("{server}t?ssl-mode=REQUIRED"));
    let error = services.mariadb().unwrap_err().to_string();
    assert!(error.starts_with("DATABASE_URL names a MariaDB that is not ours"), "{error}");
    assert!(!folder.path().join("mariadb").exists());
    assert_eq!(redis(&services, "PING"), "+PONG");
    drop(services);

    let mut nothing = redis_only(&folder.path().join("unused"));
    nothing.redis_url = Some("redis://cache.example/".to_owned());
    let services = Services::start(&nothing).unwrap();
    assert_eq!(services.redis_url(), "redis://cache.example/");
    assert_eq!(services.folder(), None);
    let error = services.redis().unwrap_err().to_string();
    assert!(error.contains("unset it to have a private one started"), "{error}");
    assert!(!folder.path().join("unused").exists());
}

#[test]
fn data_that_mariadb_cannot_read_is_reported_with_its_log() {
    let folder = tempfile::tempdir().unwrap();
    drop(Services::start(&redis_only(folder.path())).unwrap());
    fs::create_dir(folder.path().join("mariadb")).unwrap();
    fs::write(folder.path().join("mariadb/ibdata1"), "no database").unwrap();
    let error = Services::start(&relaxed(folder.path())).unwrap_err().to_string();
    assert!(error.starts_with("MariaDB ended (exit status: 1); the end of its log:"), "{error}");
    assert!(error.contains("ib_logfile0 was not found"), "{error}");
}
