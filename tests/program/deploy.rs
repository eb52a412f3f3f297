//! A run becomes one file, and the file does what the run did.

use std::fs;

use serde_json::Value;

use crate::support::{Workplace, borrowed};

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn trained() -> Workplace {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &["--set", "train.steps=60"])));
    fs::write(here.path("text.txt"), "Once upon a time there was a cat.\n<|endoftext|>\nThe dog ran home.\n")
        .expect("write");
    here
}

fn bits_per_byte(here: &Workplace, path: &str) -> f64 {
    json(&here.ok(&["eval", path, "--data", "text.txt", "--json"]))["bits_per_byte"].as_f64().expect("bits per byte")
}

#[test]
fn an_exported_file_says_and_scores_what_its_checkpoint_does() {
    let here = trained();
    let table = here.ok(&["export", "run", "-o", "run.gguf"]);
    for line in ["kind", "f32", "all", "on disk", "written  run.gguf"] {
        assert!(table.lines().any(|l| l.starts_with(line)), "no line `{line}`: {table}");
    }
    here.ok(&["export", "run", "--format", "hf", "-o", "dir"]);
    for copy in ["run.gguf", "dir", "run/last", "run/checkpoints/step-000060"] {
        let generate = |path| here.ok(&["generate", path, "-p", "The ", "-n", "60", "--json", "--min-p", "0.02"]);
        assert_eq!(generate(copy), generate("run"), "{copy}");
        assert!((bits_per_byte(&here, copy) - bits_per_byte(&here, "run")).abs() < 1e-5, "{copy}");
        let ids = |path| json(&here.ok(&["logits", path, "--text", "The", "--json"]))["ids"].clone();
        assert_eq!(ids(copy), ids("run"));
    }
    let stderr = here.fails(1, &["eval", "run.gguf"]);
    assert!(stderr.contains("--data"), "{stderr}");
}

#[test]
fn a_file_is_exported_as_its_checkpoint_is() {
    let here = trained();
    here.ok(&["export", "run", "-o", "run.gguf"]);
    here.ok(&["export", "run", "--dtype", "q8_0", "-o", "q8.gguf"]);
    for (output, options, scores_as) in [
        ("dir", &["--format", "hf"][..], "run"),
        ("again.gguf", &["--dtype", "q8_0"], "q8.gguf"),
        ("f16", &["--format", "hf", "--dtype", "f16"], "run"),
    ] {
        here.ok(&[&["export", "run.gguf", "-o", output], options].concat());
        let (found, expected) = (bits_per_byte(&here, output), bits_per_byte(&here, scores_as));
        assert!((found - expected).abs() < 5e-4, "{output}: {found} for {expected}");
    }
    let generate = |path| here.ok(&["generate", path, "-p", "The ", "-n", "60", "--json"]);
    assert_eq!(generate("dir"), generate("run"));

    let said = |args: &[&str]| String::from_utf8(here.run(args).stderr).expect("UTF-8");
    assert_eq!(said(&["export", "q8.gguf", "--format", "hf", "-o", "whole"]), "");
    assert_eq!(generate("whole"), here.ok(&["generate", "q8.gguf", "--exact", "-p", "The ", "-n", "60", "--json"]));
    let stderr = said(&["export", "q8.gguf", "--dtype", "f16", "-o", "rounded.gguf"]);
    assert!(stderr.contains("q8_0") && stderr.contains("rounded again"), "{stderr}");
}

#[test]
fn smaller_kinds_of_number_cost_little() {
    let here = trained();
    let exact = bits_per_byte(&here, "run");
    // what rounding to 11, 8, 7 or 8, 4 and 3 or 4 bits may cost a model of this size
    for (format, dtype, at_most, times_smaller) in [
        ("gguf", "f16", 0.0005, 1.8),
        ("gguf", "bf16", 0.005, 1.8),
        ("gguf", "q8_0", 0.005, 3.2),
        ("hf", "f16", 0.0005, 1.8),
        ("hf", "fp8", 0.02, 3.2),
        ("hf", "int4", 0.1, 3.2),
    ] {
        let name = format!("{format}-{dtype}");
        let report = json(&here.ok(&["export", "run", "--format", format, "--dtype", dtype, "-o", &name, "--json"]));
        let found = bits_per_byte(&here, &name);
        assert!((found - exact).abs() < at_most, "{name}: {found} instead of {exact}");
        let smaller = report["sizes"]["times_smaller_than_f32"].as_f64().expect("a ratio");
        assert!(smaller > times_smaller, "{name}: {smaller}");
        here.ok(&["generate", &name, "-n", "3", "--exact"]);
    }
    // read as it would be written: by activations of 8 bits, or exact ones
    let score = |options: &[&str]| {
        let eval = ["eval", "gguf-q8_0", "--data", "text.txt", "--json"];
        json(&here.ok(&[&eval[..], options].concat()))["bits_per_byte"].as_f64().expect("bits per byte")
    };
    let (rounded, exact) = (score(&["--ubatch-size", "1"]), score(&["--ubatch-size", "1", "--exact"]));
    assert!(rounded != exact && (rounded - exact).abs() < 0.005, "{rounded} instead of {exact}");
    // read together activations are exact either way, but keys and values are bfloat16 unless --exact is asked for
    let (together, all_exact) = (score(&[]), score(&["--exact"]));
    assert!((exact - all_exact).abs() < 1e-5, "{exact} instead of {all_exact}");
    assert!(together != all_exact && (together - all_exact).abs() < 1e-3, "{together} instead of {all_exact}");
}

#[test]
fn what_is_there_is_kept_and_what_cannot_be_written_is_said() {
    let here = trained();
    fs::write(here.path("taken"), "mine").expect("write");
    let gguf = ["export", "run", "-o", "taken", "--force"];
    let stderr = here.fails(1, &gguf[..4]);
    assert!(stderr.contains("taken") && stderr.contains("--force"), "{stderr}");
    assert_eq!(fs::read_to_string(here.path("taken")).expect("read"), "mine");
    here.ok(&gguf);
    here.ok(&["generate", "taken", "-n", "2"]);

    let hf = |output| ["export", "run", "--format", "hf", "-o", output, "--force"];
    fs::create_dir(here.path("dir")).expect("created");
    here.ok(&hf("dir")[..6]);
    let stderr = here.fails(1, &hf("dir")[..6]);
    assert!(stderr.contains("dir is there already") && stderr.contains("--force"), "{stderr}");
    here.ok(&hf("dir"));
    here.ok(&["generate", "dir", "-n", "2"]);
    let stderr = here.fails(1, &["export", "dir", "--format", "hf", "--dtype", "q8_0", "-o", "other"]);
    assert!(stderr.contains("q8_0"), "{stderr}");
    assert!(!here.path("other").exists());

    // a directory is never replaced by a file, nor a file by a directory
    let stderr = here.fails(1, &["export", "run", "-o", "dir", "--force"]);
    assert!(stderr.contains("dir is a directory"), "{stderr}");
    let stderr = here.fails(1, &hf("taken"));
    assert!(stderr.contains("taken is no directory"), "{stderr}");

    here.ok(&borrowed(&here.train("ssm", &["--set", "model.attention_layers=[]", "--set", "train.steps=5"])));
    let export = ["export", "ssm", "-o", "ssm.gguf", "--allow-unsupported"];
    let stderr = here.fails(1, &export[..4]);
    assert!(stderr.contains("attention") && stderr.contains("--allow-unsupported"), "{stderr}");
    here.ok(&export);
    assert_eq!(here.ok(&["generate", "ssm.gguf", "-n", "20"]), here.ok(&["generate", "ssm", "-n", "20"]));
}

#[test]
fn nothing_that_is_not_of_a_model_is_replaced() {
    let here = trained();
    fs::create_dir_all(here.path("papers/old")).expect("created");
    fs::write(here.path("papers/thesis.tex"), "years of work").expect("write");
    for (output, entry) in [
        ("papers", "holds old,"),
        ("run", "holds .lock,"),
        ("run/last", "holds trainer,"),
        ("run/checkpoints", "holds step-0000"),
        (".", "is the working directory, or holds it"),
        ("..", "is the working directory, or holds it"),
    ] {
        let stderr = here.fails(1, &["export", "run", "--format", "hf", "-o", output, "--force"]);
        assert!(stderr.contains(entry) && stderr.contains("hint: choose another name"), "{output}: {stderr}");
        assert!(!stderr.contains("--force"), "{output}: {stderr}");
    }
    assert_eq!(fs::read_to_string(here.path("papers/thesis.tex")).expect("read"), "years of work");
    here.ok(&["generate", "run", "-n", "2"]);
    here.ok(&borrowed(&here.train("run", &["--set", "train.steps=60", "--resume"])));
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_replaced_and_a_link_stays() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let here = trained();
    fs::write(here.path("file.gguf"), "old").expect("write");
    symlink("file.gguf", here.path("link.gguf")).expect("linked");
    here.ok(&["export", "run", "-o", "link.gguf", "--force"]);
    assert!(here.path("link.gguf").is_symlink());
    here.ok(&["generate", "file.gguf", "-n", "2"]);
    let socket = std::os::unix::net::UnixListener::bind(here.path("socket")).expect("bound");
    let stderr = here.fails(1, &["export", "run", "-o", "socket", "--force"]);
    assert!(stderr.contains("no regular file"), "{stderr}");
    assert!(here.path("socket").symlink_metadata().expect("there").file_type().is_socket());
    drop(socket);
}

#[test]
fn a_file_can_be_looked_into_and_a_damaged_one_is_refused_by_name() {
    let here = trained();
    here.ok(&["export", "run", "--dtype", "q8_0", "-o", "run.gguf"]);
    let found = json(&here.ok(&["inspect", "run.gguf", "--json"]));
    let directory = json(&here.ok(&["inspect", "run", "--json"]));
    assert_eq!(found["metadata"]["general.architecture"], "granitehybrid");
    assert_eq!(found["metadata"]["general.name"], "run");
    assert_eq!(directory["metadata"]["model_type"], "granitemoehybrid");
    for inspected in [&found, &directory] {
        assert_eq!(inspected["model"]["total_params"], inspected["sizes"]["params"]);
        assert_eq!(inspected["model"]["tokenizer"]["tokens"], 258);
        let bytes: u64 =
            inspected["tensors"].as_array().expect("tensors").iter().map(|t| t["bytes"].as_u64().expect("bytes")).sum();
        assert_eq!(inspected["sizes"]["tensor_bytes"], bytes);
    }
    assert_eq!(found["sizes"]["file_bytes"], fs::metadata(here.path("run.gguf")).expect("a file").len());
    let text = here.ok(&["inspect", "run.gguf"]);
    assert!(text.contains("blk.0.ssm_in.weight") && text.contains("258 tokens"), "{text}");

    let bytes = fs::read(here.path("run.gguf")).expect("read");
    let mut another = bytes.clone();
    another[..4].copy_from_slice(b"GGML");
    for damaged in [&bytes[..bytes.len() / 2], &bytes[..100], &another, b""] {
        fs::write(here.path("damaged.gguf"), damaged).expect("write");
        for command in [&["generate", "damaged.gguf"][..], &["inspect", "damaged.gguf"], &["bench", "damaged.gguf"]] {
            let stderr = here.fails(1, command);
            assert!(stderr.contains("damaged.gguf") && stderr.contains("byte"), "{stderr}");
        }
    }
    fs::write(here.path("run/last/model.safetensors"), &bytes).expect("write");
    let stderr = here.fails(1, &["generate", "run/last"]);
    assert!(stderr.contains("model.safetensors is damaged"), "{stderr}");
}
