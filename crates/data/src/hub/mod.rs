//! `hub:owner/name[:config]` → files in the local cache of the Hugging Face hub
//!
//! ```text
//!            online:  listing ─▶ select ─▶ already cached? ─▶ download, resumed and checked ─╮
//! HubDataset                                                                                ├─▶ paths
//!            offline: cached snapshot ─▶ select ─▶ all shards there? ───────────────────────╯
//! ```

#[cfg(feature = "hub")]
mod dataset;
mod env;
mod error;
#[cfg(feature = "hub")]
mod select;

#[cfg(feature = "hub")]
pub(crate) use dataset::HubDataset;
pub use env::HubEnv;
pub use error::{HubError, HubFault};
