//! What this crate promises, tested through its public interface.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod corpus;
mod dataset;
mod documents;
mod files;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
mod hub_server;
mod pairs;
mod records;
mod sampler;
mod shard;
mod sources;
mod support;
