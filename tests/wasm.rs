//! What runs models compiles for the web, where that target is installed (`rustup target add wasm32-unknown-unknown`) and
//! the crates that it needs besides can be had.

use std::{
    path::Path,
    process::{Command, Stdio},
};

const TARGET: &str = "wasm32-unknown-unknown";

/// Whether this toolchain can compile for the target.
fn is_installed() -> bool {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    asked.is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_dir())
}

fn cargo(args: &[&str]) -> bool {
    let mut command = Command::new(env!("CARGO"));
    command.args(args).args(["--locked", "--target", TARGET]).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.stdin(Stdio::null()).status().expect("cargo starts").success()
}

#[test]
fn the_runtime_and_what_it_needs_compile() {
    if !is_installed() || !cargo(&["fetch"]) {
        eprintln!("skipped: the target {TARGET} is not installed, or its crates cannot be fetched");
        return;
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasm");
    let crates = ["-p", "itera-kernels", "-p", "itera-formats", "-p", "itera-tokenizer", "-p", "itera-runtime"];
    assert!(cargo(&[&["check", "--target-dir", &dir.to_string_lossy()], &crates[..]].concat()), "see above");
}
