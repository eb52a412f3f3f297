//! A run becomes small by a recipe, as a user does it.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Workplace, borrowed};

const RECIPE: &str = r#"
about = "4-bit experts, 8-bit otherwise, trained through it"

[[stage]]
do = "finetune"
train = { steps = 10, lr = 1e-3, teacher = { weight = 0.5 } }

[[stage]]
do = "quantize"
kind = "q8_0"
kinds = { experts = "q4_0" }
train = { steps = 10, lr = 1e-3 }
"#;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn trained() -> Workplace {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &["--set", "train.steps=40", "--set", "run.threads=1"])));
    fs::write(here.path("text.txt"), "Once upon a time there was a cat.\n<|endoftext|>\nThe dog ran home.\n")
        .expect("write");
    fs::write(here.path("mine.toml"), RECIPE).expect("write");
    here
}

#[test]
fn a_recipe_is_planned_carried_out_and_compared() {
    let here = trained();
    let list = here.ok(&["compress", "--list"]);
    assert!(list.contains("int4-ptq") && list.contains("mixed"), "{list}");

    let args = ["compress", "--recipe", "mine.toml", "run", "--data", "text.txt"];
    // the text is prepared anew where it was not
    let plan = here.ok(&[&args[..], &["--dry-run", "--set", "data.cache_dir=elsewhere"]].concat());
    assert!(plan.contains("stage 2  quantize, 10 steps") && plan.contains("experts    q4_0"), "{plan}");
    assert!(plan.contains("learns from the run: the recipe says so"), "{plan}");
    let twice = here.ok(&[&args[..], &["--dry-run", "--effort", "2"]].concat());
    assert!(twice.contains("stage 2  quantize, 20 steps") && twice.contains("training about"), "{twice}");
    let stderr = here.fails(2, &[&args[..], &["--effort", "0"]].concat());
    assert!(stderr.contains("--effort") && stderr.contains("above 0"), "{stderr}");
    assert!(!here.path("run-mine").exists(), "a plan writes nothing");
    let planned = json(&here.ok(&[&args[..], &["--dry-run", "--json"]].concat()));

    let table = here.ok(&args);
    assert!(table.contains("artifact  run-mine/run-mine.gguf"), "{table}");
    let artifact = here.path("run-mine/run-mine.gguf");
    assert_eq!(planned["plan"]["size_bytes"], fs::metadata(&artifact).expect("a file").len());
    for file in ["recipe.toml", "report.json", "report.csv", "report.html", "compression_metadata.json"] {
        assert!(here.path("run-mine").join(file).is_file(), "{file}");
    }
    let report = json(&fs::read_to_string(here.path("run-mine/report.json")).expect("a report"));
    let eval = json(&here.ok(&["eval", "run-mine/run-mine.gguf", "--data", "text.txt", "--json"]));
    assert_eq!(report["stages"][1]["bits_per_byte"], eval["bits_per_byte"]);
    let eval = json(&here.ok(&["eval", "run", "--data", "text.txt", "--json"]));
    assert_eq!(report["baseline"]["bits_per_byte"], eval["bits_per_byte"]);

    // of the machine, not of the run
    let threads = |run: &str| {
        let config = fs::read_to_string(here.path(run).join("config.toml")).expect("a configuration");
        config.lines().find_map(|line| line.strip_prefix("threads = ").map(str::to_owned)).expect("a number")
    };
    assert_eq!((threads("run").as_str(), threads("run-mine/stages/1-finetune").as_str()), ("1", "0"));

    let stderr = here.fails(1, &args);
    assert!(stderr.contains("--resume") && stderr.contains("--overwrite"), "{stderr}");
    let before = fs::read(&artifact).expect("a file");
    here.ok(&[&args[..], &["--resume"]].concat());
    assert_eq!(fs::read(&artifact).expect("a file"), before);

    let compare = ["compare", "run", "run-mine/run-mine.gguf", "--data", "text.txt"];
    let table = here.ok(&compare);
    for part in ["run-mine/run-mine.gguf", "resident", "seed 0:\nOnce upon a time"] {
        assert!(table.contains(part), "no `{part}`: {table}");
    }
    let peer = ["--peer", "another=1056540:0.905", "--markdown", "--plot", "frontier.svg"];
    let markdown = here.ok(&[&compare[..], &peer].concat());
    assert!(
        markdown.contains("\n| another | 1056540 | | 0.9050 |") && markdown.contains("\n| `run-mine` | "),
        "{markdown}"
    );
    assert!(!markdown.contains("seed"), "no samples: {markdown}");
    let svg = fs::read_to_string(here.path("frontier.svg")).expect("a picture");
    assert!(svg.starts_with("<svg") && svg.contains("another") && svg.contains("run-mine"), "{svg}");
    let stderr = here.fails(2, &[&compare[..], &["--peer", "another=0.905"]].concat());
    assert!(stderr.contains("expected a name, bytes and bits per byte"), "{stderr}");
    let found = json(&here.ok(&[&compare[..], &["--json"]].concat()));
    let models = found["models"].as_array().expect("models");
    assert_eq!(models[1]["bits_per_byte"], report["stages"][1]["bits_per_byte"]);
    assert_eq!(models[1]["times_smaller"], report["stages"][1]["times_smaller"]);
    assert!(models[0]["tokens_per_s"].as_f64().expect("a speed") > 0.0);
}

#[test]
fn a_directory_of_few_bits_is_a_model_to_every_command() {
    let here = trained();
    let table = here.ok(&["compress", "--recipe", "fp8", "run", "--data", "text.txt"]);
    assert!(table.contains("artifact  run-fp8/run-fp8"), "{table}");
    here.ok(&["export", "run", "--format", "hf", "--dtype", "fp8", "-o", "eight"]);
    let table = here.ok(&["export", "run", "--format", "hf", "--dtype", "int4", "-o", "four"]);
    assert!(table.contains("q4_0") && table.contains("f8_e4m3"), "{table}");
    for file in ["model.safetensors", "config.json", "tokenizer.json"] {
        let read = |dir: &str| fs::read(here.path(dir).join(file)).expect(file);
        assert_eq!(read("run-fp8/run-fp8"), read("eight"), "{file}");
    }

    let report = json(&fs::read_to_string(here.path("run-fp8/report.json")).expect("a report"));
    let eval = json(&here.ok(&["eval", "eight", "--data", "text.txt", "--json"]));
    assert_eq!(report["stages"][0]["bits_per_byte"], eval["bits_per_byte"]);
    for dir in ["eight", "four"] {
        let listed = json(&here.ok(&["inspect", dir, "--json"]));
        assert_eq!(listed["metadata"]["quantization_config"]["quant_method"], "compressed-tensors");
        assert_eq!(listed["problem"], Value::Null);
        here.ok(&["generate", dir, "--prompt", "Once", "--max-tokens", "4"]);
        // what it stands for in f32 is the same model
        here.ok(&["export", dir, "--format", "hf", "-o", "wide", "--force"]);
        let score = |dir: &str| {
            json(&here.ok(&["eval", dir, "--data", "text.txt", "--exact", "--json"]))["bits_per_byte"].as_f64()
        };
        let (narrow, wide) = (score(dir).expect("a score"), score("wide").expect("a score"));
        assert!((narrow / wide - 1.0).abs() < 1e-6, "{dir}: {narrow} for {wide}");
    }
    here.ok(&["compare", "run", "eight", "four", "--data", "text.txt"]);
    let stderr = here.fails(1, &["export", "run", "--dtype", "fp8", "-o", "run.gguf"]);
    assert!(stderr.contains("hint: --format hf"), "{stderr}");
}

/// It is asked to stop where it reads calibration text, of which there is enough for an hour. If it does not, the limit
/// on its seconds of computing ends it.
#[test]
fn a_signal_stops_it_before_long_whatever_it_does() {
    let here = trained();
    let recipe =
        "about = 'x'\n[[stage]]\ndo = 'quantize'\nkind = 'q4_0'\nrounding = 'gptq'\ncalibration_tokens = 100_000_000\n";
    fs::write(here.path("long.toml"), recipe).expect("write");
    let limited = ["-c", "ulimit -t 30; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_itera")];
    let args = ["compress", "--recipe", "long.toml", "run", "--data", "text.txt"];
    for (signal, code, more) in [(Signal::TERM, 143, "--overwrite"), (Signal::INT, 130, "--resume")] {
        let mut shell = Command::new("sh");
        shell.args(limited).args(args).arg(more).current_dir(here.path(".")).stdin(Stdio::null());
        let mut program = shell.stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut lines = BufReader::new(program.stderr.take().expect("piped")).lines().map(|line| line.expect("text"));
        lines.find(|line| line.starts_with("calibrating")).expect("it calibrates");
        kill_process(Pid::from_child(&program), signal).expect("a signal");
        let last = lines.last().expect("a line");
        assert!(last.contains("run-long") && last.contains("--resume"), "{last}");
        assert_eq!(program.wait().expect("it ends").code(), Some(code));
    }
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_unicode_is_refused_and_not_a_panic() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let here = trained();
    let name = OsStr::from_bytes(b"r\xffn");
    fs::rename(here.path("run"), here.path("").join(name)).expect("renamed");
    for more in [&[][..], &["--dry-run", "--json"]] {
        let mut command = here.command(&["compress", "--recipe", "int8"]);
        let output = command.args(more).arg(name).output().expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && stderr.contains("is not UTF-8"), "{stderr}");
    }
}

#[test]
fn what_cannot_be_compressed_is_said_before_anything_is_written() {
    let here = trained();
    here.ok(&["export", "run", "-o", "run.gguf"]);
    for (args, named) in [
        (&["--recipe", "int5", "run"][..], "there is no recipe `int5`"),
        (&["--recipe", "int8", "run.gguf"], "not in a run directory"),
        (&["--recipe", "int8", "nowhere"], "nowhere"),
        (&["--recipe", "nvfp4", "run"], "whole blocks of 64"),
        (&["--recipe", "text.txt", "run"], "recipe `text`"),
        (&["--recipe", "int8", "run", "--set", "tokenizer.kind=bpe", "--set", "model.vocab_size=300"], "tokenizer"),
    ] {
        let stderr = here.fails(1, &[&["compress", "-o", "out"], args].concat());
        assert!(stderr.contains(named), "{args:?}: {stderr}");
        assert!(!here.path("out").join("report.json").exists());
    }
    let stderr = here.fails(2, &["compress", "run"]);
    assert!(stderr.contains("--recipe"), "{stderr}");
}
