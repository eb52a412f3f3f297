//! The training loop
