//! Prompts in, texts out: from where, how many, why they ended.

use std::{
    fs,
    io::Write,
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::support::{Workplace, borrowed};

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A model whose texts are at most 64 tokens long.
fn trained() -> Workplace {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &["--set", "train.steps=5", "--set", "model.max_seq_len=64"])));
    here
}

/// `itera args…` that reads `input`.
fn fed(here: &Workplace, args: &[&str], input: &str) -> Output {
    let mut command = here.command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

#[test]
fn prompts_come_from_arguments_files_and_standard_input() {
    let here = trained();
    let greedy = ["generate", "run", "-n", "9", "--temperature", "0", "--json"];
    let with = |more: &[&str]| here.ok(&[&greedy[..], more].concat());
    let expected = with(&["-p", "One", "-p", "- two"]);
    assert_eq!(expected, [with(&["-p", "One"]), with(&["-p", "- two"])].concat(), "texts together are those alone");
    let mark = "\u{feff}One\r\n\n- two\r\n";
    fs::write(here.path("prompts.txt"), mark).expect("write");
    assert_eq!(with(&["--prompts-file", "prompts.txt"]), expected, "a byte order mark is no text");
    let output = fed(&here, &[&greedy[..], &["--prompts-file", "-"]].concat(), mark);
    assert_eq!(String::from_utf8(output.stdout).expect("UTF-8"), expected);
    let nothing = fed(&here, &[&greedy[..], &["--prompts-file", "-"]].concat(), "\u{feff}\n");
    assert_eq!(nothing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("standard input holds no prompt"), "{nothing:?}");

    // more than are written at once; in the order of the prompts, though those on the way to one that is refused are done
    let many: Vec<String> = (0..70).map(|text| format!("Text {text}")).collect();
    fs::write(here.path("many.txt"), format!("{}\n{}\nafter\n", many.join("\n"), "long ".repeat(40))).expect("write");
    let output = here.run(&[&greedy[..], &["--prompts-file", "many.txt"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(error.contains("a text of 201 tokens is too long: the model's longest context is 64"), "{error}");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<Value> = stdout.lines().map(json).collect();
    assert_eq!(lines.iter().map(|line| line["prompt"].as_str().expect("a prompt")).collect::<Vec<_>>(), many);
    assert_eq!(format!("{}\n", stdout.lines().nth(66).expect("a line")), with(&["-p", "Text 66"]));

    let shown = here.ok(&["generate", "run", "-n", "9", "--temperature", "0", "-p", "One", "-p", "- two"]);
    let texts: Vec<String> =
        expected.lines().map(json).map(|line| line["text"].as_str().expect("text").into()).collect();
    assert_eq!(shown, format!("One{}\n\n- two{}\n", texts[0], texts[1]));
    let logits = json(&here.ok(&["logits", "run", "--text", "- x", "--json"]));
    assert_eq!(logits["ids"].as_array().map(Vec::len), Some(4));
}

#[test]
fn a_text_says_why_it_ended() {
    let here = trained();
    let line = |more: &[&str]| json(&here.ok(&[&["generate", "run", "-p", "The", "--json"][..], more].concat()));
    let reason = |line: &Value| {
        let words = ["finish_reason", "stop_type"].map(|key| line[key].as_str().expect("a word").to_owned());
        (words.join(", "), line["usage"]["completion_tokens"].as_u64().expect("a count"))
    };
    let whole = line(&["-n", "9", "--ignore-eos"]);
    assert_eq!(reason(&whole), ("length, limit".into(), 9));
    assert_eq!(whole["usage"]["prompt_tokens"], 4);
    assert_eq!(whole["usage"]["total_tokens"], 13);
    assert_eq!(reason(&line(&["-n", "0"])), ("length, limit".into(), 0));
    // the last of them needs no place of its own
    assert_eq!(reason(&line(&["-n", "-1", "--ignore-eos"])), ("length, context".into(), 64 - 4 + 1));

    let stop = whole["text"].as_str().and_then(|text| text.chars().nth(2)).expect("a character").to_string();
    assert_eq!(reason(&line(&["-n", "9", "--ignore-eos", "--stop", &stop])).0, "stop, word");

    // an untrained model ends a text as soon as it writes anything else
    let hot = ["-n", "-1", "--temperature", "9"];
    let ended = (0..99).map(|seed| line(&[&hot[..], &["--seed", &seed.to_string()]].concat()));
    let ended = ended.into_iter().find(|line| reason(line).0 == "stop, eos").expect("some text ends");
    let (seed, tokens) = (ended["seed"].to_string(), reason(&ended).1);
    assert!(tokens < 61 && ended["ids"].as_array().and_then(|ids| ids.last()) == Some(&0.into()));
    let on = line(&[&hot[..], &["--seed", &seed, "--ignore-eos"]].concat());
    assert_eq!(reason(&on), ("length, context".into(), 61));
    assert!(on["ids"].as_array().expect("ids").iter().all(|id| *id != 0));
}

#[test]
fn a_random_seed_is_told_and_can_be_given_again() {
    let here = trained();
    let args = ["generate", "run", "-p", "The", "-n", "20", "--json", "--seed"];
    let output = here.run(&[&args[..], &["-1"]].concat());
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    let seed = stderr.lines().find_map(|line| line.strip_prefix("seed ")).expect("the seed");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(json(&stdout)["seed"].to_string(), seed);
    assert_eq!(here.ok(&[&args[..], &[seed]].concat()), stdout);
    let another = here.run(&[&args[..], &["-1"]].concat());
    assert_ne!(String::from_utf8(another.stderr).expect("UTF-8"), stderr);
}

#[test]
fn numbers_out_of_range_are_told_their_range() {
    let here = Workplace::new();
    for (option, value, range) in [
        ("--temperature", "-1", "expected a number from 0 (greedy) to 1000"),
        ("--top-p", "-0.5", "expected a probability above 0 and at most 1"),
        ("--min-p", "-1", "expected a share from 0 (off) to 1"),
        ("--repetition-penalty", "-1", "expected a factor from 0.01 to 100"),
        ("--top-k", "-1", "expected a whole number from 0"),
        ("--seed", "-2", "expected a whole number from 0, or -1 for a random one"),
        ("-n", "-2", "expected a whole number from 0, or -1 for no limit"),
        ("--threads", "-1", "expected a whole number from 0"),
        ("--ubatch-size", "-1", "expected a whole number from 1"),
    ] {
        let stderr = here.fails(2, &["generate", "run", option, value]);
        assert!(stderr.contains(range), "{option} {value}: {stderr}");
    }
    let stderr = here.fails(2, &["bench", "run", "--tokens", "-1"]);
    assert!(stderr.contains("expected a whole number from 1"), "{stderr}");
}
