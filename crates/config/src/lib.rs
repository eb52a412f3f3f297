//! TOML → raw tables → validated [`Config`].
//!
//! One struct a TOML table, one field a key. A [`Config`] that exists is valid: every constructor validates.

mod sections;

pub use sections::*;
