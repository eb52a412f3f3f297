//! Text as users have it: how documents are told apart, where they come from, what is wrong with them.

use std::fs::{self, File};

use serde_json::Value;

use crate::support::{Workplace, borrowed, set};

const STEPS: [&str; 2] = ["--set", "train.steps=5"];

fn score(here: &Workplace, args: &[&str]) -> Value {
    serde_json::from_str(&here.ok(&[&["eval"], args, &["--json"]].concat())).expect("JSON")
}

/// Paragraphs that differ, each long enough to be trained on.
fn paragraphs(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("The cat number {i} sat on a mat\nand saw {} birds and {i} dogs.", i * i)).collect()
}

#[test]
fn a_model_file_scores_text_parted_as_its_run_does_when_told_how() {
    let here = Workplace::new();
    fs::write(here.path("train.txt"), paragraphs(40).join("\n\n")).expect("write");
    fs::write(here.path("held.txt"), paragraphs(52)[40..].join("\n\n")).expect("write");
    let changes = ["--set", "data.source=train.txt", "--set", "data.valid_fraction=0.3", "--set", "data.separator="];
    here.ok(&borrowed(&here.train("run", &[&STEPS[..], &changes].concat())));
    here.ok(&["export", "run", "-o", "run.gguf"]);

    let run = score(&here, &["run", "--data", "held.txt"]);
    assert_eq!((&run["documents"], &run["data"]["separator"]), (&12.into(), &"".into()), "as the run was trained");
    assert_eq!(score(&here, &["run.gguf", "--data", "held.txt"])["documents"], 1);
    for separator in ["", "\n\n", r"\n\n"] {
        let file = score(&here, &["run.gguf", "--data", "held.txt", "--separator", separator]);
        assert_eq!(file["documents"], 12, "{separator:?}");
        let bpb = |score: &Value| score["bits_per_byte"].as_f64().expect("a number");
        assert!((bpb(&file) - bpb(&run)).abs() < 1e-6, "{separator:?}: {file} {run}");
    }
    assert_eq!(score(&here, &["run", "--data", "held.txt", "--separator", r"\n"])["documents"], 24);
    let told = here.ok(&["eval", "run.gguf", "--data", "held.txt", "--separator", ""]);
    assert!(told.contains("12 (text parted at blank lines"), "{told}");
    here.fails(2, &["eval", "run.gguf", "--separator", ""]);
    here.fails(2, &["eval", "run.gguf", "--data", "held.txt", "--separator", "a\nb"]);

    for (more, documents) in
        [(&[][..], "12 documents: text parted at blank lines"), (&["--separator", r"\n"], "24 documents")]
    {
        let args = ["compress", "--recipe", "bf16", "run", "--data", "held.txt", "--overwrite"];
        let told = here.run(&[&args[..], more].concat());
        let told = String::from_utf8(told.stderr).expect("UTF-8");
        assert!(told.contains(&format!("scoring {documents}")), "{told}");
    }
}

#[test]
fn what_a_run_holds_out_is_what_eval_scores() {
    let here = Workplace::new();
    let parted =
        |documents: &[String]| documents.iter().map(|text| format!("{text}\n<|endoftext|>\n")).collect::<String>();
    let documents = paragraphs(46);
    fs::write(here.path("train.txt"), parted(&documents[..40])).expect("write");
    let held_out = [&documents[40..], &[" ".into(), String::new()], &documents[40..43]].concat();
    fs::write(here.path("held.txt"), parted(&held_out)).expect("write");
    let changes = ["--set", "data.source=train.txt", "--set", "data.valid_source=held.txt"];
    here.ok(&borrowed(&here.train("run", &[&STEPS[..], &changes].concat())));
    let (own, named) = (score(&here, &["run"]), score(&here, &["run", "--data", "held.txt"]));
    assert_eq!((&own["documents"], &named["documents"]), (&6.into(), &6.into()));
    assert_eq!(own["bits_per_byte"], named["bits_per_byte"]);
    assert_eq!((&named["data"]["blank"], &named["data"]["copies"]), (&2.into(), &3.into()));

    let from_pipe = here
        .command(&["eval", "run", "--data", "-", "--json"])
        .stdin(File::open(here.path("held.txt")).expect("text"))
        .output();
    let from_pipe: Value = serde_json::from_slice(&from_pipe.expect("it starts").stdout).expect("JSON");
    assert_eq!(from_pipe["bits_per_byte"], named["bits_per_byte"]);
}

/// With held-out text of its own a corpus may be one document, whose separators are then taken for text.
#[test]
fn one_document_that_holds_its_separator_is_trained_on_and_told() {
    let here = Workplace::new();
    fs::write(here.path("inside.txt"), paragraphs(40).join("<|endoftext|>")).expect("write");
    fs::write(here.path("held.txt"), paragraphs(46)[40..].join("\n<|endoftext|>\n")).expect("write");
    let changes = set(&["data.source=inside.txt", "data.valid_source=held.txt"]);
    let output = here.run(&borrowed(&here.train("run", &[&STEPS[..], &changes].concat())));
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    let told = "training text is one document, which holds \"<|endoftext|>\", but not as a line of its own";
    assert!(output.status.success() && stderr.matches("is one document").count() == 1, "{stderr}");
    assert!(stderr.contains(told), "{stderr}");
}

#[test]
fn hints_fit_what_is_wrong_with_the_text() {
    let here = Workplace::new();
    let cut = format!("{{\"text\": \"{}\"}}\n{{\"text\": \"{}", "one ".repeat(80), "two ".repeat(80));
    fs::write(here.path("cut.jsonl"), cut).expect("write");
    fs::write(here.path("copies.txt"), "the same\n<|endoftext|>\n".repeat(50)).expect("write");
    fs::write(here.path("inside.txt"), "one<|endoftext|>two<|endoftext|>three").expect("write");
    fs::write(here.path("pointer.txt"), "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n")
        .expect("write");
    fs::write(here.path("text.txt"), paragraphs(40).join("\n<|endoftext|>\n")).expect("write");
    for (changes, parts) in [
        (&["data.source=cut.jsonl"][..], &["cut.jsonl, line 2", "EOF", "skip_bad_records"][..]),
        (&["data.source=copies.txt", "data.valid_fraction=1e-9"], &["49 copies", "documents that differ"]),
        (&["data.source=inside.txt"], &["not as a line of its own", "hint: put each separator on a line"]),
        (&["data.source=pointer.txt"], &["Git LFS pointer", "git lfs pull"]),
        (
            &["data.source=text.txt", "data.valid_fraction=0.3", "data.cache_dir=text.txt/cache"],
            &["text.txt/cache", "data.cache_dir"],
        ),
        (&["data.source=text.txt", "data.separator=\"a\\nb\""], &["data.separator", "one line"]),
    ] {
        let stderr = here.fails(1, &borrowed(&here.train("run", &set(changes))));
        assert!(parts.iter().all(|part| stderr.contains(part)), "{changes:?}: {stderr}");
        assert!(!stderr.contains("iconv") && !stderr.contains("data.text_field"), "{changes:?}: {stderr}");
    }
}
