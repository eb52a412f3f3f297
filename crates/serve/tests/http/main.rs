//! A server, asked by HTTP clients.

mod access_log;
mod answers;
mod attacks;
mod chat;
mod embeddings;
mod feedback;
mod hostile;
mod keys;
mod llama;
mod openapi;
mod protocol;
mod record;
mod repository;
mod schema;
#[cfg(feature = "tls")]
mod secret;
mod sequences;
mod structured;
mod support;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_life;
#[cfg(feature = "otlp")]
mod traces;
mod v2;
