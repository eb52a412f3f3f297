//! What runs models compiles for processors that this one is not, and there the kernels pass their tests: where a target is
//! installed (`rustup target add …`), the crates that it needs besides can be had, and something runs what was compiled.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use itera_testkit::skip;

const WEB: &str = "wasm32-unknown-unknown";
/// The same with a command line and files.
const WASI: &str = "wasm32-wasip1";
const SIMD128: &str = "-Ctarget-feature=+simd128";
const AARCH64: &str = "aarch64-unknown-linux-gnu";
/// Links for [`AARCH64`], where that is another processor.
const GCC: &str = "aarch64-linux-gnu-gcc";

/// Whether this toolchain can compile for `target`.
fn is_installed(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    asked.is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_dir())
}

/// Whether there is a `program`, which tells its version.
fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok()
}

/// `cargo COMMAND --target TARGET` with a program that runs what was compiled, where it is to run, and flags for the compiler, and all it
/// builds in a place of its own.
fn cargo(command: &str, target: &str, runner: Option<&str>, flags: &str, args: &[&str]) -> bool {
    let root = env!("CARGO_MANIFEST_DIR");
    let of_target = |key: &str| format!("CARGO_TARGET_{}_{key}", target.to_uppercase().replace('-', "_"));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([command, "--locked", "--target", target]).args(args).current_dir(root).stdin(Stdio::null());
    cargo.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("targets")).env("RUSTFLAGS", flags);
    if let Some(runner) = runner {
        cargo.env(of_target("RUNNER"), runner);
    }
    if target == AARCH64 {
        cargo.env(of_target("LINKER"), GCC);
    }
    cargo.status().expect("cargo starts").success()
}

/// Whether all is there to compile for `target`; says so if not.
fn is_ready(target: &str) -> bool {
    let is_ready = is_installed(target) && cargo("fetch", target, None, "", &[]);
    if !is_ready {
        skip(&format!("the target {target} is not installed, or its crates cannot be fetched"));
    }
    is_ready
}

#[test]
fn the_runtime_and_what_it_needs_compile_for_the_web() {
    if is_ready(WEB) {
        let crates = ["-p", "itera-kernels", "-p", "itera-formats", "-p", "itera-tokenizer", "-p", "itera-runtime"];
        for flags in ["", SIMD128] {
            assert!(cargo("build", WEB, None, flags, &crates), "{flags}: see above");
        }
    }
}

#[test]
fn kernels_and_runtime_pass_their_tests_with_the_vector_instructions_of_the_web() {
    if !is_there("node") {
        skip("no `node` to run WebAssembly");
    } else if is_ready(WASI) {
        let runner = format!("node --no-warnings {}/tests/interop/wasi.mjs", env!("CARGO_MANIFEST_DIR"));
        // the probe measures what threads do, of which there are none
        let args = ["-p", "itera-kernels", "-p", "itera-runtime", "--lib", "--test", "model", "--", "--skip", "probe"];
        assert!(cargo("test", WASI, Some(&runner), SIMD128, &args), "see above");
    }
}

#[test]
fn kernels_and_runtime_pass_their_tests_on_aarch64_with_dotprod_and_without() {
    if cfg!(target_arch = "aarch64") {
        skip("this is aarch64: the crates' own tests are these");
    } else if !is_there(GCC) || !is_there("qemu-aarch64") {
        skip("no `aarch64-linux-gnu-gcc` or `qemu-aarch64` to link and run for aarch64");
    } else if is_ready(AARCH64) {
        for processor in ["max", "cortex-a53"] {
            let runner = format!("qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu {processor}");
            let crates = ["-p", "itera-kernels", "-p", "itera-formats", "-p", "itera-runtime", "--lib", "--tests"];
            // qemu keeps wishes about memory to itself
            let args = [&crates[..], &["--", "--skip", "the_system_knows_of_the_wish"]].concat();
            assert!(cargo("test", AARCH64, Some(&runner), "", &args), "{processor}: see above");
        }
    }
}
