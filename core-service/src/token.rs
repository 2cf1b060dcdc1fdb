//! `core-service token`: a token for development, signed with the key in the core's data folder.

use crate::auth::keys::Keys;
use crate::clock::{Clock as _, SystemClock};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use tiffin_api::id::{StoreId, UserId};
use tiffin_api::token::{MAX_LIFETIME_S, Principal, Role};

/// What `core-service token` takes.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// The core's data folder, which holds the signing key.
    #[arg(long, env = "TIFFIN_DATA")]
    data: PathBuf,
    /// The user the token is for.
    #[arg(long, default_value = "1001")]
    user: String,
    /// What the user may do; may be given more than once.
    #[arg(long = "role", value_enum, default_value = "diner")]
    roles: Vec<RoleArg>,
    /// A store that a merchant keeps; may be given more than once.
    #[arg(long = "store")]
    stores: Vec<String>,
    /// How long the token holds, seconds.
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(i64).range(1..=MAX_LIFETIME_S))]
    ttl_s: i64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArg {
    Diner,
    Merchant,
    Admin,
    Edge,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Diner => Self::Diner,
            RoleArg::Merchant => Self::Merchant,
            RoleArg::Admin => Self::Admin,
            RoleArg::Edge => Self::Edge,
        }
    }
}

/// Prints the token.
pub fn run(args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let user: UserId = args.user.parse().with_context(|| format!("--user {:?}", args.user))?;
    let store =
        |text: &String| text.parse::<StoreId>().with_context(|| format!("--store {text:?}"));
    let principal = Principal {
        user_id: user,
        roles: args.roles.iter().copied().map(Role::from).collect(),
        stores: args.stores.iter().map(store).collect::<anyhow::Result<_>>()?,
    };
    let keys = Keys::load(&args.data)?;
    println!("{}", keys.sign_token(&principal, SystemClock.now_ms(), args.ttl_s));
    Ok(ExitCode::SUCCESS)
}
