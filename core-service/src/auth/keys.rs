//! The core's secrets, two files in its data folder, made on the first start and readable by their owner
//! only: the Ed25519 seed that signs tokens, and the secret that quotes, webhooks and
//! cached menus are keyed with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_compact::{KeyPair, Seed};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use tiffin_api::token::{ISSUER, Jwk, Jwks, Principal, Verifier};

const TOKEN_SEED_FILE: &str = "token.key";
const SECRET_FILE: &str = "secret.key";
const SECRET_BYTES: usize = 32;
/// Bytes of the public key's hash that name it.
const KID_BYTES: usize = 8;

/// Why the keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot use the key file {file}")]
    Io {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a key.
    #[error(
        "{0} does not hold a 32-byte key; move it away and a new one is made on the next start"
    )]
    Malformed(PathBuf),
    /// There is no key yet.
    #[error("there is no key in {0}; start the core on this folder once, and it makes one")]
    Missing(PathBuf),
}

/// The core's secrets.
pub struct Keys {
    pair: KeyPair,
    kid: String,
    verifier: Verifier,
    secret: [u8; SECRET_BYTES],
}

impl Keys {
    /// Reads the keys of a data folder, making those that are missing. Only one process may do this at a
    /// time: whoever holds the folder.
    pub fn load_or_create(data: &Path) -> Result<Self, KeyError> {
        for name in [TOKEN_SEED_FILE, SECRET_FILE] {
            create_if_missing(&data.join(name))?;
        }
        Self::load(data)
    }

    /// Reads the keys of a data folder.
    pub fn load(data: &Path) -> Result<Self, KeyError> {
        let seed = read(&data.join(TOKEN_SEED_FILE))?;
        let secret = read(&data.join(SECRET_FILE))?;
        Ok(Self::from_parts(seed, secret))
    }

    /// Keys from their raw bytes.
    pub fn from_parts(seed: [u8; SECRET_BYTES], secret: [u8; SECRET_BYTES]) -> Self {
        let pair = KeyPair::from_seed(Seed::new(seed));
        let kid = URL_SAFE_NO_PAD.encode(&Sha256::digest(pair.pk.as_ref())[..KID_BYTES]);
        let verifier = Verifier::new(&Jwks { keys: vec![Jwk::new(&kid, &pair.pk)] });
        Self { pair, kid, verifier, secret }
    }

    /// What tokens are checked with.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The public keys, for the edges.
    pub fn jwks(&self) -> Jwks {
        Jwks { keys: vec![Jwk::new(&self.kid, &self.pair.pk)] }
    }

    /// Signs a token for a principal that holds from `now_ms` for `lifetime_s`.
    pub fn sign_token(&self, principal: &Principal, now_ms: i64, lifetime_s: i64) -> String {
        let issued_s = now_ms.div_euclid(1_000);
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": self.kid });
        let claims = json!({
            "iss": ISSUER, "aud": ISSUER, "sub": principal.user_id,
            "roles": principal.roles, "stores": principal.stores,
            "iat": issued_s, "exp": issued_s + lifetime_s,
        });
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        // Ed25519 is deterministic: no randomness is needed to sign.
        let signature = self.pair.sk.sign(message.as_bytes(), None);
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A keyed hash for one purpose: the purpose is hashed in, so that no tag is good for another.
    pub fn tag(&self, purpose: &str, message: &[&[u8]]) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        for part in std::iter::once(&purpose.as_bytes()).chain(message) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

fn create_if_missing(file: &Path) -> Result<(), KeyError> {
    let failed = |source| KeyError::Io { file: file.to_owned(), source };
    if file.try_exists().map_err(failed)? {
        return Ok(());
    }
    create(file).map_err(failed)
}

/// Writes a new key beside its place and links it there once it is on disk: a crash leaves a whole key or
/// none, and a draft that nobody reads. Of two cores that start together, the first to link has made the key.
fn create(file: &Path) -> io::Result<()> {
    let draft = file.with_extension(format!("{}.draft", std::process::id()));
    let mut options = fs::OpenOptions::new();
    let mut created = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    created.write_all(URL_SAFE_NO_PAD.encode(*Seed::generate()).as_bytes())?;
    created.sync_all()?;
    let linked = fs::hard_link(&draft, file);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        linked => linked?,
    }
    match file.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn read(file: &Path) -> Result<[u8; SECRET_BYTES], KeyError> {
    let text = fs::read_to_string(file).map_err(|source| match source.kind() {
        ErrorKind::NotFound => KeyError::Missing(file.parent().unwrap_or(file).to_owned()),
        _ => KeyError::Io { file: file.to_owned(), source },
    })?;
    URL_SAFE_NO_PAD
        .decode(text.trim())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| KeyError::Malformed(file.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use tiffin_api::id::UserId;
    use tiffin_api::token::Role;

    #[test]
    fn keys_are_made_once_and_sign_what_they_verify() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Keys::load(folder.path()), Err(KeyError::Missing(_))));
        let first = Keys::load_or_create(folder.path()).unwrap();
        let again = Keys::load_or_create(folder.path()).unwrap();
        let now_ms = 1_800_000_000_123;
        let token =
            first.sign_token(&Principal::new(UserId::from_raw(5), &[Role::Diner]), now_ms, 900);
        let principal = again.verifier().verify(&token, now_ms).unwrap();
        assert_eq!(principal.user_id, UserId::from_raw(5));
        assert!(principal.has(Role::Diner) && !principal.has(Role::Admin));
    }

    #[test]
    fn a_start_that_was_cut_short_leaves_no_broken_key() {
        let folder = tempfile::tempdir().unwrap();
        // As far as a crash can get before the key is in its place.
        let draft = format!("token.{}.draft", std::process::id());
        fs::write(folder.path().join(draft), "half").unwrap();
        Keys::load_or_create(folder.path()).unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [SECRET_FILE, TOKEN_SEED_FILE]);
        let mode = fs::metadata(folder.path().join(SECRET_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn tags_depend_on_purpose_and_on_where_parts_end() {
        let keys = Keys::from_parts([1; 32], [2; 32]);
        assert_ne!(keys.tag("a", &[b"bc"]), keys.tag("ab", &[b"c"]));
        assert_ne!(keys.tag("a", &[b"b", b"c"]), keys.tag("a", &[b"bc"]));
        assert_eq!(keys.tag("a", &[b"b"]), keys.tag("a", &[b"b"]));
    }
}
