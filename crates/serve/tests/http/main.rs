//! A server, asked by HTTP clients.

mod answers;
mod protocol;
mod support;
