//! A short context, and documents longer than it: from training to comparing.

use std::fs;

use serde_json::Value;

use crate::support::{Workplace, borrowed};

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_short_context_stops_neither_measures_nor_scores() {
    let here = Workplace::new();
    let article = "The city lies on a river. It was founded by traders, who came from the sea. ";
    let part = |times: usize| format!("{}\n<|endoftext|>\n", article.repeat(times));
    let text: String = (0..60).map(|n| part(1 + n % 3)).collect();
    fs::write(here.path("train.txt"), &text).expect("write");
    // of these the second is 10,000 bytes long, as articles are
    fs::write(here.path("valid.txt"), format!("A short one.\n<|endoftext|>\n{}{}", part(130), part(2))).expect("write");
    let changes = [
        ["--set", "data.source=train.txt"],
        ["--set", "data.valid_source=valid.txt"],
        ["--set", "model.max_seq_len=64"],
        ["--set", "train.steps=5"],
    ];
    here.ok(&borrowed(&here.train("run", &changes.concat())));

    let score = json(&here.ok(&["eval", "run", "--json"]));
    assert_eq!(score["windows"], serde_json::json!({ "documents": 2, "first": 1, "tokens": 64, "stride": 32 }));
    assert_eq!(score["tokens"].as_u64(), score["bytes"].as_u64().map(|bytes| bytes + 3), "every token counts once");
    let table = here.ok(&["eval", "run"]);
    let told =
        "2 documents, the first of them document 2, are longer than the context: windows of 64 tokens, each 32 further";
    assert!(table.contains(told), "{table}");
    let short = json(&here.ok(&["eval", "run", "--data", "train.txt", "--json", "--ubatch-size", "1"]));
    assert!(short["windows"]["documents"].as_u64() > Some(0), "{short}");

    let bench = ["--repeats", "1", "--streams", "2", "--json"];
    let bench = json(&here.ok(&[&["bench", "run"][..], &bench].concat()));
    assert_eq!((&bench["prompt_tokens"], &bench["tokens"]), (&32.into(), &32.into()));

    let compress = here.run(&["compress", "--recipe", "bf16", "run"]);
    let talk = String::from_utf8(compress.stderr).expect("UTF-8");
    assert!(compress.status.success() && talk.contains(&format!("baseline: {told}")), "{talk}");
    let report = json(&fs::read_to_string(here.path("run-bf16/report.json")).expect("a report"));
    assert_eq!(report["baseline"]["bits_per_byte"], score["bits_per_byte"]);
    assert!(report["baseline"]["tokens_per_s"].as_f64() > Some(0.0), "{report}");

    let compared = json(&here.ok(&["compare", "run", "run-bf16/run-bf16.gguf", "--data", "valid.txt", "--json"]));
    assert_eq!(compared["models"][0]["bits_per_byte"], score["bits_per_byte"]);
    assert_eq!(compared["models"][1]["windows"], score["windows"]);
}
