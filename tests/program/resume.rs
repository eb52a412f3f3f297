//! However a run is interrupted, it ends with the same bytes.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use itera_metrics::ignores_signal;
use itera_testkit::skip;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Workplace, borrowed, metrics, set, sha256};

/// Everything that has state: accumulation, dropout, validation off the checkpoint grid, early-stopping counters, a
/// metrics window of several steps.
const CHANGES: [&str; 7] = [
    "train.steps=60",
    "train.grad_accum_steps=2",
    "model.dropout=0.1",
    "eval.every_steps=5",
    "checkpoint.every_steps=4",
    "log.every_steps=3",
    "eval.patience=9",
];

#[test]
fn an_interrupted_run_ends_with_the_bytes_and_rows_of_an_uninterrupted_one() {
    let here = Workplace::new();
    let changes = set(&CHANGES);
    here.ok(&borrowed(&here.train("whole", &changes)));

    let start = here.train("cut", &changes);
    let resume = here.train("cut", &[&changes[..], &["--resume"]].concat());
    // rows come at steps 3, 5, 6, 9, 10, 12 …, checkpoints at 4, 8 … and where validation improves
    let cuts = [
        (1, Signal::KILL, None),
        (3, Signal::KILL, None),
        (1, Signal::INT, Some(130)),
        (2, Signal::TERM, Some(143)),
        (1, Signal::USR1, Some(128 + Signal::USR1.as_raw())),
        (1, Signal::USR2, Some(128 + Signal::USR2.as_raw())),
        (1, Signal::HUP, Some(129)),
        (4, Signal::KILL, None),
    ];
    for (index, (rows, signal, code)) in cuts.into_iter().enumerate() {
        let args = if index == 0 { &start } else { &resume };
        if signal == Signal::HUP && ignores_signal(signal.as_raw()) != Some(false) {
            skip("SIGHUP, which these tests may have been started to ignore, as by nohup");
            continue;
        }
        assert_eq!(here.train_until(args, rows, signal), code, "{signal:?}");
    }
    here.ok(&borrowed(&resume));

    let file = "last/model.safetensors";
    assert_eq!(sha256(&here.path("cut").join(file)), sha256(&here.path("whole").join(file)));
    let moments = "last/trainer/optimizer.safetensors";
    assert_eq!(sha256(&here.path("cut").join(moments)), sha256(&here.path("whole").join(moments)));
    assert_eq!(metrics(&here.path("cut")), metrics(&here.path("whole")));
    let lines =
        |run: &str| fs::read_to_string(here.path(run).join("metrics.csv")).expect("metrics.csv").lines().count();
    assert_eq!(lines("cut"), lines("whole"));
    assert_eq!(
        fs::read_link(here.path("cut").join("best")).expect("best"),
        fs::read_link(here.path("whole").join("best")).expect("best")
    );
}

#[test]
fn a_second_interrupt_does_not_wait_for_the_step_that_the_first_lets_end() {
    let here = Workplace::new();
    let args = here.train("run", &["--set", "train.grad_accum_steps=5000"]);
    let mut child = here.command(&borrowed(&args)).stderr(Stdio::null()).spawn().expect("it starts");
    let goes_on = |child: &mut Child| child.try_wait().expect("a process").is_none();
    // written when the signals are handled already
    while !here.path("run/config.toml").exists() {
        assert!(goes_on(&mut child));
        thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..2 {
        // at first the step begins, and then it would go on for seconds
        thread::sleep(Duration::from_millis(500));
        assert!(goes_on(&mut child));
        kill_process(Pid::from_child(&child), Signal::INT).expect("it is still there");
    }
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(!here.path("run/last").exists(), "there was no time to save");
}

/// `nohup` and its like start a program with SIGHUP ignored.
#[cfg(target_os = "linux")]
#[test]
fn a_run_that_was_started_to_outlive_its_terminal_does() {
    let here = Workplace::new();
    let args = here.train("run", &["--set", "log.every_steps=1", "--set", "train.steps=30"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_itera")]).args(&args);
    shell.current_dir(here.path(".")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = shell.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    lines.find(|line| line.contains(" loss ")).expect("a step");
    kill_process(Pid::from_child(&child), Signal::HUP).expect("it is still there");
    lines.for_each(drop);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(metrics(&here.path("run")).len(), 30);
}

/// A limit on the size of files stops a save as a full disk does, in the middle of a file.
#[cfg(unix)]
#[test]
fn a_save_that_finds_no_space_ends_the_run_and_leaves_the_checkpoint_before_it_whole() {
    let here = Workplace::new();
    let changes = ["--set", "checkpoint.every_steps=5", "--set", "checkpoint.keep_last=1", "--set", "train.steps=15"];
    here.ok(&borrowed(&here.train("whole", &changes)));
    here.train_until(&here.train("run", &[&changes[..], &["--set", "log.every_steps=1"]].concat()), 7, Signal::INT);
    let resume = here.train("run", &[&changes[..], &["--resume"]].concat());

    let model_bytes = fs::metadata(here.path("run/last/model.safetensors")).expect("a file").len();
    let limit = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", model_bytes / 512 / 2);
    let mut shell = Command::new("sh");
    shell.args(["-c", &limit, env!("CARGO_BIN_EXE_itera")]).args(&resume).current_dir(here.path("."));
    let output = shell.output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: cannot write") && stderr.contains("model.safetensors"), "{stderr}");
    assert!(
        !here
            .path("run/checkpoints")
            .read_dir()
            .expect("a list")
            .any(|entry| { entry.expect("an entry").file_name().to_string_lossy().starts_with('.') })
    );

    here.ok(&borrowed(&resume));
    let hash = |run: &str| sha256(&here.path(run).join("last/model.safetensors"));
    assert_eq!(hash("run"), hash("whole"));
}

#[cfg(unix)]
#[test]
fn a_run_copied_without_its_links_is_used_and_goes_on() {
    let here = Workplace::new();
    let steps = |n: &'static str| ["--set", n, "--set", "train.schedule=wsd", "--set", "train.decay_fraction=0.1"];
    here.ok(&borrowed(&here.train("run", &steps("train.steps=20"))));
    let model = |run: &str| here.ok(&["logits", run, "--text", "Once", "--json"]);
    let whole = model("run");
    for (copy, options) in [("followed", "-rL"), ("lost", "-r")] {
        let copied = Command::new("cp").args([options, "run", copy]).current_dir(here.path(".")).status();
        assert!(copied.expect("cp").success());
        if copy == "lost" {
            for link in ["best", "last"] {
                fs::remove_file(here.path(copy).join(link)).expect("a link");
            }
        }
        assert_eq!(model(copy), whole, "{copy}");
        here.ok(&["eval", copy]);
        here.ok(&borrowed(&here.train(copy, &[&steps("train.steps=20")[..], &["--resume"]].concat())));
        assert!(here.path(copy).join("last").is_symlink());

        let longer = here.train(copy, &[&steps("train.steps=25")[..], &["--resume"]].concat());
        let stderr = here.fails(1, &borrowed(&longer));
        let before = format!("{copy}/checkpoints/step-000018");
        assert!(stderr.contains("changes the learning rate or the inputs from step 18 on"), "{stderr}");
        assert!(stderr.contains(&format!("--resume {before}")), "{stderr}");
        here.ok(&borrowed(&here.train(copy, &[&steps("train.steps=25")[..], &["--resume", &before]].concat())));
        assert_eq!(metrics(&here.path(copy)).last().expect("a row")["step"], 25);
    }
}

#[test]
fn a_run_in_bf16_resumes_from_its_master_weights() {
    let here = Workplace::new();
    let changes = set(&["model.dropout=0.1", "checkpoint.every_steps=2", "train.gradient_checkpointing=true"]);
    let bf16 = [&changes[..], &["--set", "train.precision=bf16"]].concat();
    here.ok(&borrowed(&here.train("whole", &bf16)));
    assert_eq!(here.train_until(&here.train("cut", &bf16), 7, Signal::KILL), None);
    here.ok(&borrowed(&here.train("cut", &[&bf16[..], &["--resume"]].concat())));
    for file in ["model.safetensors", "trainer/weights.safetensors", "trainer/optimizer.safetensors"] {
        let hash = |run: &str| sha256(&here.path(run).join("last").join(file));
        assert_eq!(hash("cut"), hash("whole"), "{file}");
    }
    let bytes = |file: &str| fs::metadata(here.path("whole/last").join(file)).expect("a file").len();
    assert!(bytes("model.safetensors") < bytes("trainer/weights.safetensors"));
    let stderr = here.fails(1, &borrowed(&here.train("whole", &[&changes[..], &["--resume"]].concat())));
    assert!(stderr.contains("precision = \"bf16\" → precision = \"f32\""), "{stderr}");
    here.ok(&["generate", "whole", "-n", "3"]);
    here.ok(&["eval", "whole", "--json"]);
}

#[test]
fn a_run_by_muon_that_publishes_an_average_resumes_to_the_same_bytes() {
    let here = Workplace::new();
    let changes = set(&[
        "train.optimizer=muon",
        "train.ema=0.9",
        "train.weight_decay_end_ratio=3",
        "checkpoint.every_steps=2",
        "model.d_model=64",
    ]);
    let threads = |n: &'static str| [&changes[..], &["--threads", n]].concat();
    here.ok(&borrowed(&here.train("whole", &threads("2"))));
    assert_eq!(here.train_until(&here.train("cut", &threads("1")), 7, Signal::KILL), None);
    here.ok(&borrowed(&here.train("cut", &[&threads("2")[..], &["--resume"]].concat())));
    let hash = |run: &str, file: &str| sha256(&here.path(run).join("last").join(file));
    for file in ["model.safetensors", "trainer/weights.safetensors", "trainer/optimizer.safetensors"] {
        assert_eq!(hash("cut", file), hash("whole", file), "{file}");
    }
    // steps are the same without an average, which is all that is published in their place
    here.ok(&borrowed(&here.train("plain", &[&threads("2")[..], &["--set", "train.ema=0.0"]].concat())));
    assert_ne!(hash("plain", "model.safetensors"), hash("whole", "model.safetensors"));
    assert!(!here.path("plain/last/trainer/weights.safetensors").exists());
    let losses = |run: &str| metrics(&here.path(run)).iter().map(|row| row["loss_nats"].clone()).collect::<Vec<_>>();
    assert_eq!(losses("plain"), losses("whole"));
    let stderr = here.fails(1, &borrowed(&here.train("whole", &["--resume"])));
    assert!(stderr.contains("optimizer = \"muon\" → optimizer = \"adamw\""), "{stderr}");
    here.ok(&["generate", "whole", "-n", "3"]);
}

#[test]
fn one_thread_and_two_give_the_same_bytes_and_another_seed_does_not() {
    let here = Workplace::new();
    // large enough that matrix products are shared out among threads
    let size = ["--set", "model.d_model=64", "--set", "train.batch_size=16", "--set", "train.steps=5"];
    for (run, more) in [("one", ["--threads", "1"]), ("two", ["--threads", "2"]), ("seed", ["--set", "run.seed=7"])] {
        here.ok(&borrowed(&here.train(run, &[&size[..], &more].concat())));
    }
    let hash = |run| sha256(&here.path(run).join("last/model.safetensors"));
    assert_eq!(hash("one"), hash("two"));
    assert_ne!(hash("one"), hash("seed"));
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_leads_to_the_same_end() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &[])));
    let last = here.path("run/last").canonicalize().expect("a checkpoint");
    let end = sha256(&last.join("model.safetensors"));
    let resume = here.train("run", &["--resume"]);
    let files =
        ["model.safetensors", "config.json", "tokenizer.json", "trainer/optimizer.safetensors", "trainer/state.json"];
    for file in files {
        let path = last.join(file);
        let bytes = fs::read(&path).expect("a file of the checkpoint");
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        for damaged in [Some(&flipped[..]), Some(&bytes[..bytes.len() - 1]), None] {
            match damaged {
                Some(damaged) => fs::write(&path, damaged).expect("write"),
                None => fs::remove_file(&path).expect("removed"),
            }
            let named = here.fails(1, &borrowed(&here.train("run", &["--resume", "run/checkpoints/step-000020"])));
            assert!(named.contains(file), "{file} is not named: {named}");
            assert!(named.contains("--resume run/checkpoints/step-000010"), "no older one offered: {named}");
            let resumed = here.run(&borrowed(&resume));
            let told = String::from_utf8_lossy(&resumed.stderr);
            assert!(resumed.status.success(), "{file}: {told}");
            assert!(told.contains(file), "{file} is not named: {told}");
            assert!(told.contains("going on from run/checkpoints/step-000010"), "{told}");
            assert_eq!(sha256(&last.join("model.safetensors")), end, "{file}");
        }
    }
}

#[test]
fn where_no_checkpoint_is_whole_nothing_starts_anew() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &["--set", "checkpoint.every_steps=20", "--set", "eval.every_steps=20"])));
    let seal = here.path("run/last/trainer/state.json");
    for damaged in [Some("{}"), None] {
        match damaged {
            Some(text) => fs::write(&seal, text).expect("written"),
            None => fs::remove_file(&seal).expect("removed"),
        }
        let stderr = here.fails(1, &borrowed(&here.train("run", &["--resume"])));
        assert!(stderr.contains("state.json is damaged"), "{stderr}");
    }
}

#[test]
fn checkpoints_by_way_of_a_disk_of_the_host_are_those_of_a_run_without() {
    let here = Workplace::new();
    for (run, local) in [("direct", ""), ("copied", "near")] {
        here.ok(&borrowed(&here.train(run, &["--set", &format!("checkpoint.local_dir={local}")])));
    }
    for file in ["model.safetensors", "trainer/optimizer.safetensors"] {
        let hash = |run| sha256(&here.path(run).join("last").join(file));
        assert_eq!(hash("copied"), hash("direct"));
    }
    assert_eq!(fs::read_dir(here.path("near")).expect("it was used").count(), 0);
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &[])));
    let others: [(&[&str], &str); 3] = [
        (&["--set", "train.lr=1e-4"], "configuration"),
        (&["--set", "data.builtin_bytes=150000"], "corpus"),
        (&["--set", "tokenizer.kind=bpe", "--set", "model.vocab_size=300"], "tokenizer"),
    ];
    for (changes, what) in others {
        let stderr = here.fails(1, &borrowed(&here.train("run", &[changes, &["--resume"]].concat())));
        assert!(stderr.contains(&format!("another {what}")), "{changes:?}: {stderr}");
    }
    // what decides no byte may change
    here.ok(&borrowed(&here.train("run", &["--resume", "--threads", "1", "--set", "checkpoint.keep_last=1"])));
}

#[test]
fn a_run_is_not_overwritten_unless_asked() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &[])));
    let stderr = here.fails(1, &borrowed(&here.train("run", &[])));
    assert!(stderr.contains("already holds a run") && stderr.contains("--resume"), "{stderr}");
    here.ok(&borrowed(&here.train("run", &["--overwrite", "--set", "train.steps=5"])));
    assert_eq!(metrics(&here.path("run")).len(), 5);
}

#[test]
fn one_checkpoint_back_and_interrupted_again_leaves_no_gap() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &[])));
    let (whole, rows) = (sha256(&here.path("run/last/model.safetensors")), metrics(&here.path("run")));
    let back = here.train("run", &["--resume", "run/checkpoints/step-000010"]);
    here.train_until(&back, 2, Signal::KILL);
    here.ok(&borrowed(&here.train("run", &["--resume"])));
    assert_eq!(sha256(&here.path("run/last/model.safetensors")), whole);
    assert_eq!(metrics(&here.path("run")), rows);

    let stderr = here.fails(1, &borrowed(&here.train("other", &["--resume", "run/checkpoints/step-000010"])));
    assert!(stderr.contains("no checkpoint of this run"), "{stderr}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named_before_data_is_prepared() {
    let here = Workplace::new();
    fs::write(here.path("taken"), "a file").expect("written");
    let stderr = here.fails(1, &borrowed(&here.train("taken/run", &["--set", "data.source=missing.txt"])));
    assert!(stderr.contains("cannot write to the run directory taken/run"), "{stderr}");
    assert!(stderr.contains("run.dir") && !stderr.contains("missing.txt"), "{stderr}");
}

#[test]
fn two_processes_cannot_train_in_one_directory() {
    let here = Workplace::new();
    fs::create_dir(here.path("run")).expect("a directory");
    let lock = fs::File::create(here.path("run/.lock")).expect("a file");
    lock.lock().expect("a lock");
    let stderr = here.fails(1, &borrowed(&here.train("run", &[])));
    assert!(stderr.contains("another process is training in run"), "{stderr}");
    drop(lock);
    here.ok(&borrowed(&here.train("run", &[])));
}

#[test]
fn a_run_on_a_file_system_without_locks_says_so_and_trains() {
    let here = Workplace::new();
    let strace = |more: &[&str]| {
        let quiet = ["--follow-forks", "--output=/dev/null"];
        Command::new("strace").args(quiet).args(more).current_dir(here.path("")).output()
    };
    if !strace(&["true"]).is_ok_and(|output| output.status.success()) {
        return skip("no `strace`, or a system that lets no process be traced");
    }
    let train = here.train("run", &["--set", "train.steps=5"]);
    let inject = ["--trace=flock", "--inject=flock:error=EOPNOTSUPP", env!("CARGO_BIN_EXE_itera")];
    let output = strace(&[&inject[..], &borrowed(&train)].concat()).expect("strace starts");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("warning: run cannot be locked (Operation not supported (os error 95))"), "{stderr}");
    assert!(here.path("run/last/model.safetensors").exists(), "{stderr}");
}
