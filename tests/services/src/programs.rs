//! Where the daemons' programs are, and how they get there.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};

use crate::{command, debian};

/// Where daemons lie on many systems and a person's PATH often does not lead.
const DAEMON_FOLDERS: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin";

/// The programs that we start.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) mariadbd: PathBuf,
    pub(crate) mariadb_install: PathBuf,
    pub(crate) redis: PathBuf,
}

/// Which of the two services are ours to start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    pub(crate) mariadb: bool,
    pub(crate) redis: bool,
}

impl Programs {
    /// Finds what is needed, and installs Debian's packages where something is missing.
    ///
    /// # Errors
    /// Something is missing and could not be installed; the message says what to run or to set.
    pub(crate) fn find_or_install(needs: Needs) -> Result<Self> {
        let path = search_path(env::var_os("PATH"));
        match Self::find(&path, needs) {
            Ok(programs) => Ok(programs),
            Err(missing) => {
                let packages: Vec<_> = missing.iter().map(|part| part.package).collect();
                debian::install(&packages, "Tiffin's database and fast store")
                    .with_context(|| advice(&missing))?;
                // `install` succeeded, so this fails only where packages hold something else.
                Self::find(&path, needs).map_err(|missing| anyhow!(advice(&missing)))
            }
        }
    }

    fn find(path: &OsStr, needs: Needs) -> Result<Self, Vec<&'static Part>> {
        let mut missing: Vec<&'static Part> = Vec::new();
        let mut find = |part: &'static Part, needed: bool, name: &str| {
            let found = command::find_program_in(path, name);
            if needed && found.is_none() && !missing.contains(&part) {
                missing.push(part);
            }
            found.unwrap_or_default()
        };
        let programs = Self {
            mariadbd: find(&MARIADB, needs.mariadb, "mariadbd"),
            mariadb_install: find(&MARIADB, needs.mariadb, "mariadb-install-db"),
            redis: find(&REDIS, needs.redis, "redis-server"),
        };
        if missing.is_empty() { Ok(programs) } else { Err(missing) }
    }
}

/// One service, as it can be had.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    name: &'static str,
    package: &'static str,
    variable: &'static str,
    url: &'static str,
}

const MARIADB: Part = Part {
    name: "MariaDB",
    package: "mariadb-server",
    variable: "DATABASE_URL",
    url: "mysql://USER:PASSWORD@HOST:3306/",
};

const REDIS: Part = Part {
    name: "Redis",
    package: "redis-server",
    variable: "REDIS_URL",
    url: "redis://HOST:6379/",
};

fn advice(missing: &[&Part]) -> String {
    let join = |part: fn(&Part) -> String, with: &str| {
        missing.iter().map(|&missing| part(missing)).collect::<Vec<_>>().join(with)
    };
    let packages: Vec<_> = missing.iter().map(|part| part.package).collect();
    format!(
        "not installed: {}. Install what is missing (on Debian `{}`), or set {} to what runs elsewhere",
        join(|part| part.name.to_owned(), " and "),
        debian::install_command(&packages),
        join(|part| format!("{}={}", part.variable, part.url), " and "),
    )
}

/// PATH, and behind it where daemons lie.
fn search_path(path: Option<OsString>) -> OsString {
    let mut folders = path.unwrap_or_default();
    if !folders.is_empty() {
        folders.push(":");
    }
    folders.push(DAEMON_FOLDERS);
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const BOTH: Needs = Needs { mariadb: true, redis: true };

    fn folder_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let file = folder.path().join(name);
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    #[test]
    fn each_missing_part_is_named_once_with_both_ways_out() {
        let missing = Programs::find(folder_with(&[]).path().as_os_str(), BOTH).unwrap_err();
        let text = advice(&missing);
        assert!(text.starts_with("not installed: MariaDB and Redis."), "{text}");
        assert!(text.contains("--no-install-recommends mariadb-server redis-server`"), "{text}");
        assert!(text.contains("DATABASE_URL=mysql://") && text.contains("REDIS_URL=redis://"));
    }

    #[test]
    fn half_a_mariadb_is_none() {
        let folder = folder_with(&["mariadbd", "redis-server"]);
        let missing = Programs::find(folder.path().as_os_str(), BOTH).unwrap_err();
        assert_eq!(missing, [&MARIADB]);
        let text = advice(&missing);
        assert!(
            text.starts_with("not installed: MariaDB.") && !text.contains("REDIS_URL"),
            "{text}"
        );
    }

    #[test]
    fn only_what_is_needed_has_to_be_there() {
        let folder = folder_with(&["redis-server"]);
        let needs = Needs { mariadb: false, redis: true };
        let programs = Programs::find(folder.path().as_os_str(), needs).unwrap();
        assert_eq!(programs.redis, folder.path().join("redis-server"));
    }

    #[test]
    fn daemons_are_found_where_an_ordinary_path_does_not_lead() {
        assert_eq!(search_path(Some("/a:/b".into())), *format!("/a:/b:{DAEMON_FOLDERS}"));
        assert_eq!(search_path(None), *DAEMON_FOLDERS);
    }
}
