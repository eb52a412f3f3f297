//! Keys: who may ask, and for what. The server has their hashes, and no key itself.
//!
//! ```text
//! # name  role       SHA-256 of the key
//! alice   inference  2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b
//! ```
//!
//! A key is 32 random bytes, so that a hash without salt or rounds tells nothing of it.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
};

use itera_files::{Sha256Digest, failed_to};
use subtle::ConstantTimeEq;

use crate::error::{KeyProblem, Result, ServeError};

/// What a key is for. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To ask models, and about them.
    Inference,
    /// To watch the server too: `/metrics`.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 2] = [Self::Inference, Self::Admin];

    /// As a file of keys has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = KeyProblem;

    fn from_str(name: &str) -> Result<Self, KeyProblem> {
        Self::ALL.into_iter().find(|role| role.name() == name).ok_or(KeyProblem::Role)
    }
}

/// A key that was just made.
#[derive(Clone)]
pub struct NewKey {
    /// What its owner sends. It is kept nowhere.
    pub key: String,
    /// Its line in a file of keys, without the end of the line.
    pub line: String,
}

impl NewKey {
    /// A key of its own for `name`.
    ///
    /// # Errors
    /// If the name is none that a file of keys may have, or the system gives no random bytes.
    pub fn make(name: &str, role: Role) -> Result<Self> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| ServeError::Random(error.into()))?;
        let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = format!("itera-{digits}");
        let line = format!("{name} {role} {}", Sha256Digest::of(key.as_bytes()));
        check_name(name).map_err(ServeError::KeyName)?;
        Ok(Self { key, line })
    }
}

/// One that the server knows.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub name: Arc<str>,
    pub role: Role,
    hash: [u8; 32],
}

impl Key {
    /// One of this name, which nobody has.
    #[cfg(test)]
    pub fn called(name: &str) -> Self {
        Self { name: name.into(), role: Role::Inference, hash: [0; 32] }
    }

    fn parse(line: &str) -> Result<Self, KeyProblem> {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let [name, role, hash] = parts[..] else { return Err(KeyProblem::Parts) };
        check_name(name)?;
        let hash = bytes_of(hash).ok_or(KeyProblem::Hash)?;
        Ok(Self { name: name.into(), role: role.parse()?, hash })
    }
}

fn check_name(name: &str) -> Result<(), KeyProblem> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    let is_name = (1..=64).contains(&name.len()) && name.bytes().all(is_plain);
    if is_name { Ok(()) } else { Err(KeyProblem::Name) }
}

/// The 32 bytes that 64 hexadecimal digits are.
fn bytes_of(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (index, digit) in digits.chars().enumerate() {
        let byte = bytes.get_mut(index / 2)?;
        *byte = *byte << 4 | digit.to_digit(16)? as u8;
    }
    (digits.len() == 64).then_some(bytes)
}

/// All that the server knows, as its file had them when it was last read.
#[derive(Debug)]
pub(crate) struct Keys {
    path: PathBuf,
    known: RwLock<Vec<Key>>,
}

impl Keys {
    /// The keys in the file at `path`.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self { path: path.into(), known: RwLock::new(known(path)?) })
    }

    /// Read the file again. Where that fails, the keys stay what they were.
    pub fn reload(&self) -> Result<()> {
        let known = known(&self.path)?;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// Whose `key` is. How long that takes depends on how long `key` is and on how many keys there are, not on their bytes: hashes
    /// are compared, each of them whole.
    pub fn find(&self, key: &[u8]) -> Option<Key> {
        let hash = Sha256Digest::of(key);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().fold(None, |found, known| match known.hash.ct_eq(hash.as_bytes()).into() {
            true => Some(known),
            false => found,
        });
        found.cloned()
    }
}

fn known(path: &Path) -> Result<Vec<Key>> {
    parse(path, &std::fs::read_to_string(path).map_err(failed_to("read", path))?)
}

/// The keys in a file that reads `text`.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Vec<Key>> {
    let mut known: Vec<Key> = vec![];
    for (index, line) in text.lines().enumerate() {
        if matches!(line.trim_start().chars().next(), None | Some('#')) {
            continue;
        }
        let problem = |problem| ServeError::Key { path: path.into(), line: index + 1, problem };
        let key = Key::parse(line).map_err(problem)?;
        if known.iter().any(|other| other.hash == key.hash) {
            return Err(problem(KeyProblem::Twice));
        }
        known.push(key);
    }
    if known.is_empty() { Err(ServeError::NoKey { path: path.into() }) } else { Ok(known) }
}
