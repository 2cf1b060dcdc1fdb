//! Installing Debian packages, where apt exists and we may use it.
//!
//! Never removes a package and never asks a question: where apt would have to, it fails and the
//! caller tells the person what to run.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{limits, progress, shell};

/// How commands get root's rights here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    Root,
    PasswordlessSudo,
}

/// Installs `packages`, showing apt's own progress; `why` completes "needed for ...".
///
/// # Errors
/// No apt on this machine, no right to use it, or apt's own failure; each says which.
pub(crate) fn install(packages: &[&str], why: &str) -> Result<()> {
    if shell::find_program("apt-get").is_none() {
        bail!("this machine has no apt-get");
    }
    let rights = rights().context("installing needs root or a passwordless sudo")?;
    progress::note(&format!("installing {} ({why})", packages.join(" ")));
    shell::run(&mut apt_get(rights, &["update", "-q"]))?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends", "--no-remove"];
    arguments.extend(packages);
    shell::run(&mut apt_get(rights, &arguments))
}

/// The command that a person would run to install `packages`.
pub(crate) fn install_command(packages: &[&str]) -> String {
    format!("sudo apt-get install -y --no-install-recommends {}", packages.join(" "))
}

fn rights() -> Option<Rights> {
    if shell::ask(Command::new("id").arg("-u")).is_ok_and(|id| id == "0") {
        return Some(Rights::Root);
    }
    shell::ask(Command::new("sudo").args(["-n", "true"])).ok().map(|_| Rights::PasswordlessSudo)
}

fn apt_get(rights: Rights, arguments: &[&str]) -> Command {
    let mut command = match rights {
        Rights::Root => Command::new("env"),
        Rights::PasswordlessSudo => {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "env"]);
            sudo
        }
    };
    // `env` sets the variable behind sudo, which does not pass ours on.
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    command.arg(format!("-oDPkg::Lock::Timeout={}", limits::APT_LOCK_SECONDS));
    command.args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo_never_asks_and_the_frontend_is_set_behind_it() {
        assert_eq!(
            shell::shown(&apt_get(Rights::PasswordlessSudo, &["update"])),
            "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get -oDPkg::Lock::Timeout=120 update"
        );
        assert!(shell::shown(&apt_get(Rights::Root, &["update"])).starts_with("env DEBIAN"));
    }
}
