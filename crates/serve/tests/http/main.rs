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
mod sequences;
mod structured;
mod support;
mod v2;
