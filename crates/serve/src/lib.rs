//! A model as a service: requests in, texts or vectors out, each the one that the model gives to this request alone.
//!
//! ```text
//! socket ─ HTTP ─▶ request ─ checked ─▶ jobs ─▶ Queue ─▶ engine, a thread a model ─┐
//!    ▲                                                     one step for all texts  │
//!    └──────── response, or events ◀──── Reader ◀──── Outbox, one a text ◀─────────┘
//! ```
//!
//! The engine is the runtime's batch loop. It never waits for a client, and no client waits for another: a text whose
//! reader is slow pauses, one whose reader has left ends. The web side never computes.
//!
//! ```no_run
//! use itera_serve::{ModelSource, ServeOptions, Server};
//!
//! let model = ModelSource::new("tiny", "tiny.gguf");
//! let server = Server::start(vec![model], &ServeOptions::default())?;
//! println!("listening at {}", server.addresses()[0]);
//! server.drain(std::time::Duration::from_secs(30));
//! # Ok::<(), itera_serve::ServeError>(())
//! ```

mod account;
mod address;
mod answer;
mod app;
mod budget;
mod cache;
mod catalog;
mod compression;
mod connection;
mod engine;
mod error;
mod events;
mod feedback;
mod gbnf;
mod grammar;
#[cfg(feature = "grpc")]
mod grpc;
mod guard;
#[doc(hidden)]
pub mod in_process;
mod job;
mod json;
mod keys;
mod likely;
mod line_log;
mod listen;
mod llama;
mod loaded;
mod metrics;
mod models;
mod openai;
mod openapi;
mod origin;
mod outbox;
mod page;
mod probes;
mod prompt;
mod pulse;
mod queue;
mod record;
mod refusal;
mod repository;
mod reword;
mod routes;
mod running;
mod sequences;
mod server;
mod settings;
mod specials;
mod statistics;
mod structured;
mod template;
#[cfg(feature = "tls")]
mod tls;
mod tokens;
mod told;
#[cfg(feature = "otlp")]
mod traces;
mod turns;
mod v2;
mod vectors;
#[cfg(feature = "grpc")]
mod version;
mod visit;
mod watched;

pub use address::Address;
pub use error::{KeyProblem, Result, ServeError};
pub use keys::{NewKey, Role};
pub use line_log::LogTarget;
pub use listen::Inherited;
pub use origin::{NoOrigin, Origin};
pub use record::{Replayed, replay};
pub use repository::{ModelSource, models_in};
pub use server::{FeedbackOptions, ServeOptions, Server};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
