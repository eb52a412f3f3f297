//! What runs models compiles for the web, with its vector instructions and without, and there the kernels pass their tests:
//! where the targets are installed (`rustup target add wasm32-unknown-unknown wasm32-wasip1`), the crates that they need
//! besides can be had, and `node` runs what was compiled.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use itera_testkit::skip;

const WEB: &str = "wasm32-unknown-unknown";
/// The same with a command line and files.
const WASI: &str = "wasm32-wasip1";
const SIMD128: &str = "-Ctarget-feature=+simd128";

/// Whether this toolchain can compile for `target`.
fn is_installed(target: &str) -> bool {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    asked.is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_dir())
}

/// `cargo COMMAND --target TARGET` with flags for the compiler, and all it builds in a place of its own.
fn cargo(command: &str, target: &str, flags: &str, args: &[&str]) -> bool {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([command, "--locked", "--target", target]).args(args).current_dir(root).stdin(Stdio::null());
    cargo.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasm")).env("RUSTFLAGS", flags);
    cargo.env("CARGO_TARGET_WASM32_WASIP1_RUNNER", format!("node --no-warnings {root}/tests/interop/wasi.mjs"));
    cargo.status().expect("cargo starts").success()
}

/// Whether all is there to compile for `target`; says so if not.
fn is_ready(target: &str) -> bool {
    let is_ready = is_installed(target) && cargo("fetch", target, "", &[]);
    if !is_ready {
        skip(&format!("the target {target} is not installed, or its crates cannot be fetched"));
    }
    is_ready
}

#[test]
fn the_runtime_and_what_it_needs_compile() {
    if is_ready(WEB) {
        let crates = ["-p", "itera-kernels", "-p", "itera-formats", "-p", "itera-tokenizer", "-p", "itera-runtime"];
        for flags in ["", SIMD128] {
            assert!(cargo("build", WEB, flags, &crates), "{flags}: see above");
        }
    }
}

#[test]
fn kernels_and_runtime_pass_their_tests_with_vector_instructions() {
    if Command::new("node").arg("--version").stdout(Stdio::null()).status().is_err() {
        skip("no `node` to run WebAssembly");
    } else if is_ready(WASI) {
        // the probe measures what threads do, of which there are none
        let args = ["-p", "itera-kernels", "-p", "itera-runtime", "--lib", "--test", "model", "--", "--skip", "probe"];
        assert!(cargo("test", WASI, SIMD128, &args), "see above");
    }
}
