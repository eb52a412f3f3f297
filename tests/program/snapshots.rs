//! What the program says, whole: help texts, tables, JSON. Each is a file in `snapshots/`.
//!
//! A change that is meant is accepted with [`ACCEPT`] and reviewed as a diff of those files. What differs from run to run
//! or from machine to machine is `#` in them.

use std::{fs, thread};

use serde_json::Value;

use crate::support::{Workplace, borrowed};

/// Writes all snapshots anew.
const ACCEPT: &str = "INSTA_UPDATE=always INSTA_FORCE_PASS=1 cargo test --test program snapshots";

/// Tells whoever sees a test fail what to do.
struct Told;

impl Drop for Told {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("if this is what the program shall say: {ACCEPT}");
        }
    }
}

/// Hold `text` to the snapshot `name`. What a pattern of `varying` matches is `#`, but for its first group.
#[track_caller]
fn held(name: &str, text: &str, varying: &[&str]) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for pattern in varying {
        settings.add_filter(pattern, "${1}#");
    }
    let _told = Told;
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// JSON with a line for each key of the three outer levels, and for each object of a list.
fn by_line(text: &str) -> String {
    fn line(value: &Value, depth: usize) -> String {
        let indent = "  ".repeat(depth);
        let inside: Vec<String> = match value {
            Value::Object(map) if depth < 3 => {
                map.iter().map(|(key, value)| format!("{key:?}: {}", line(value, depth + 1))).collect()
            }
            Value::Array(items) if depth < 3 && items.iter().any(Value::is_object) => {
                items.iter().map(|item| line(item, 3)).collect()
            }
            _ => return value.to_string(),
        };
        let (open, close) = if value.is_object() { ('{', '}') } else { ('[', ']') };
        let inside: String = inside.iter().map(|item| format!("{indent}  {item},\n")).collect();
        format!("{open}\n{inside}{indent}{close}")
    }
    line(&serde_json::from_str(text).expect("JSON"), 0)
}

#[test]
fn help() {
    let here = Workplace::new();
    held("help", &here.ok(&["--help"]), &[]);
    for command in [
        "train", "eval", "generate", "embed", "rerank", "export", "compress", "compare", "inspect", "model", "data",
        "doctor", "bench", "logits", "sbatch", "serve", "sweep", "watch",
    ] {
        held(&format!("help-{command}"), &here.ok(&[command, "--help"]), &[]);
    }
    for [command, what] in
        [["bench", "train"], ["sweep", "run"], ["sweep", "status"], ["sweep", "report"], ["sweep", "sbatch"]]
    {
        held(&format!("help-{command}-{what}"), &here.ok(&[command, what, "--help"]), &[]);
    }
}

#[test]
fn what_a_configuration_means() {
    let here = Workplace::new();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/smoke.toml");
    for (command, options) in [("model", &[][..]), ("data", &["--samples", "1"])] {
        let args = [&[command, "--config", config, "--set", "data.cache_dir=cache"], options].concat();
        held(command, &here.ok(&args), &[]);
        held(&format!("{command}-json"), &by_line(&here.ok(&[&args[..], &["--json"]].concat())), &[]);
    }
}

#[test]
fn what_a_model_is() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &["--set", "train.steps=5"])));
    here.ok(&["export", "run", "--dtype", "q8_0", "-o", "run.gguf"]);
    fs::write(here.path("text.txt"), "Once upon a time.\n<|endoftext|>\nThe end.\n").expect("write");
    // what a model of five steps scores, and how fast
    let fraction = r"(tokens/s +)\d+|\d+\.\d+(?:e-?\d+)?";
    // how long a stage takes here
    let time = r#"(stage_s": )\[[^]]*\]|about \d+ min"#;
    for (name, args, varying) in [
        ("inspect", &["inspect", "run.gguf"][..], &[][..]),
        ("inspect-directory", &["inspect", "run"], &[]),
        ("eval", &["eval", "run.gguf", "--data", "text.txt"], &[fraction]),
        ("compress-list", &["compress", "--list"], &[]),
        ("compress-dry-run", &["compress", "--recipe", "int4-ptq", "run", "--dry-run"], &[time]),
    ] {
        held(name, &here.ok(args), varying);
        held(&format!("{name}-json"), &by_line(&here.ok(&[args, &["--json"]].concat())), varying);
    }
}

#[test]
fn what_a_batch_job_is() {
    let here = Workplace::new();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/smoke.toml");
    let args = ["sbatch", "--config", config, "--nodes", "2", "--ntasks-per-node", "4", "--time", "4:00:00"];
    let more = ["--set", "run.dir=my runs/1", "-o", "-", "--", "--partition=short", "--mail-type=FAIL"];
    let script = here.command(&[&args[..], &more].concat()).env("PATH", "").output().expect("it starts");
    held("sbatch", &String::from_utf8_lossy(&script.stdout), &[r"(trains |--config |--chdir=)\S+", r"( {4})/\S+"]);
}

#[test]
fn what_a_sweep_is() {
    let here = Workplace::new();
    let smoke = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/smoke.toml");
    let sweep = "seeds = 2\n[grid]\ntrain.lr = [1e-3, 2e-3]\n[random]\ncount = 2\nseed = 1\n\
                 train.weight_decay = { uniform = [0.0, 0.2] }";
    fs::write(here.path("lr.toml"), format!("base = {smoke:?}\n{sweep}\n")).expect("written");
    held("sweep-status", &here.ok(&["sweep", "status", "lr.toml"]), &[]);
    let args =
        ["sweep", "sbatch", "lr.toml", "--array", "50", "--at-once", "8", "--cpus-per-task", "4", "--time", "4:00:00"];
    let more = ["--workers", "4", "--threads", "1", "-o", "-", "--", "--partition=short"];
    let script = here.command(&[&args[..], &more].concat()).env("PATH", "").output().expect("it starts");
    held("sweep-sbatch", &String::from_utf8_lossy(&script.stdout), &[r"(--chdir=)\S+", r"( {4})/\S+"]);
}

#[test]
fn what_doctor_finds_out() {
    let here = Workplace::new();
    let table = here.ok(&["doctor"]);
    let keys: Vec<&str> = table.lines().filter_map(|line| line.get(..12)).map(str::trim_end).collect();
    held("doctor", &keys.join("\n"), &[]);
    let json: Value = serde_json::from_str(&here.ok(&["doctor", "--json"])).expect("JSON");
    let keys: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    held("doctor-json", &keys.join("\n"), &[]);
}
