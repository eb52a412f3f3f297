//! A server, asked by HTTP clients.

mod answers;
mod chat;
mod protocol;
mod support;
mod v2;
