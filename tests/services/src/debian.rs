//! Installing Debian packages, where apt exists and we may use it.
//!
//! Never removes a package, never asks a question and never lets a package start its system
//! daemon: where apt would have to, it fails and the caller tells the person what to run.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{command, limits};

/// Keeps packages from starting their daemons while they are installed, as Debian's policy layer
/// has it (`/usr/share/doc/init-system-helpers/README.policy-rc.d.gz`). A policy that the machine
/// has already stays as it is. The trap takes ours away on every way out.
const WITHOUT_DAEMONS: &str = r#"policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\n# Written while Tiffin installs packages; delete it if it stayed behind.\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
"$@""#;

/// How commands get root's rights here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    Root,
    PasswordlessSudo,
}

/// Installs `packages`, showing apt's own progress; `why` is shown in brackets behind their names.
///
/// # Errors
/// No apt on this machine, no right to use it, or apt's own failure; each says which.
pub fn install(packages: &[&str], why: &str) -> Result<()> {
    if command::find_program("apt-get").is_none() {
        bail!("this machine has no apt-get");
    }
    let rights = rights().context("installing needs root or a passwordless sudo")?;
    eprintln!("    installing {} ({why})", packages.join(" "));
    command::run(&mut apt_get(rights, &["update", "-q"]))?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends", "--no-remove"];
    arguments.extend(packages);
    let status = apt_get(rights, &arguments).status().context("starting apt-get")?;
    if !status.success() {
        bail!("apt-get could not install {} ({status})", packages.join(" "));
    }
    Ok(())
}

/// The command that a person would run to install `packages`.
pub fn install_command(packages: &[&str]) -> String {
    format!("sudo apt-get install -y --no-install-recommends {}", packages.join(" "))
}

fn rights() -> Option<Rights> {
    if is_root() {
        return Some(Rights::Root);
    }
    command::ask(Command::new("sudo").args(["-n", "true"])).ok().map(|_| Rights::PasswordlessSudo)
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    command::ask(Command::new("id").arg("-u")).is_ok_and(|id| id == "0")
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
    command.args(["DEBIAN_FRONTEND=noninteractive", "sh", "-c", WITHOUT_DAEMONS, "sh", "apt-get"]);
    command.arg(format!("-oDPkg::Lock::Timeout={}", limits::APT_LOCK_SECONDS));
    command.args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<String> {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn sudo_never_asks_and_the_frontend_is_set_behind_it() {
        let behind_sudo = words(&apt_get(Rights::PasswordlessSudo, &["update"]));
        assert_eq!(behind_sudo[..4], ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"]);
        let as_root = words(&apt_get(Rights::Root, &["update"]));
        assert_eq!(as_root[..], behind_sudo[2..]);
        assert_eq!(as_root[5..], ["sh", "apt-get", "-oDPkg::Lock::Timeout=120", "update"][..]);
    }

    /// The script as apt-get would meet it, with a policy file of our own choice.
    fn under_policy(policy: &std::path::Path, script: &str) -> std::process::Output {
        let wrapper =
            WITHOUT_DAEMONS.replace("/usr/sbin/policy-rc.d", policy.to_str().expect("UTF-8"));
        let mut shell = Command::new("sh");
        shell.args(["-c", &wrapper, "sh", "sh", "-c", script]).arg("sh").arg(policy);
        command::output_within(&mut shell, limits::PROBE).unwrap()
    }

    #[test]
    fn daemons_are_refused_while_packages_are_installed_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        let output = under_policy(&policy, "\"$1\" mariadb start; echo $?; exit 7");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "101\n");
        assert_eq!(output.status.code(), Some(7), "apt's own outcome is ours");
        assert!(!policy.exists());
    }

    #[test]
    fn a_machines_own_policy_stays() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        std::fs::write(&policy, "own").unwrap();
        assert!(under_policy(&policy, "true").status.success());
        assert_eq!(std::fs::read_to_string(&policy).unwrap(), "own");
    }
}
