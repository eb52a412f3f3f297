//! Passes the compiler's version on, for the environment section of reports.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok().and_then(|out| String::from_utf8(out.stdout).ok());
    if let Some(version) = version {
        println!("cargo::rustc-env=ITERA_RUSTC_VERSION={}", version.trim());
    }
}
