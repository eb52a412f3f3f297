//! The program as a user runs it.

mod alphabet;
mod bad_input;
mod bench;
mod browser;
mod compress;
mod context;
mod deploy;
mod doctor;
mod embed;
#[cfg(target_os = "linux")]
mod faults;
mod finite;
mod generate;
#[cfg(feature = "wgpu")]
mod gpu;
mod inspect;
mod parity;
mod places;
mod quantize;
mod ranks;
mod repository;
mod resume;
#[cfg(target_os = "linux")]
mod saves;
mod serve;
mod server;
#[cfg(unix)]
mod slurm;
mod snapshots;
mod support;
#[cfg(unix)]
mod sweep;
mod talk;
mod text;
#[cfg(target_os = "linux")]
mod two_hosts;
mod use_a_model;
mod watch;
