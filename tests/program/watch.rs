//! A run is watched by what it writes.

use rustix::process::Signal;

use crate::support::{Workplace, borrowed};

#[test]
fn a_run_is_shown_as_far_as_it_has_come() {
    let here = Workplace::new();
    let changes = ["--set", "log.every_steps=1", "--set", "eval.every_steps=5", "--set", "train.steps=60"];
    here.train_until(&here.train("run", &changes), 11, Signal::INT);
    let shown = here.ok(&["watch", "run"]);
    let first = shown.lines().next().expect("a line");
    assert!(first.starts_with("run  step 1") && first.contains("/60  "), "{shown}");
    assert!(shown.contains(" tokens/s  ETA ") && shown.contains("  last row "), "{shown}");
    assert!(shown.contains("validation ") && shown.contains(" steps, bits/byte"), "{shown}");
    assert!(shown.matches('•').count() >= 2, "a point a validation: {shown}");
    assert!(shown.contains("\n> Once upon a time"), "the samples of the last checkpoint: {shown}");
    assert!(!shown.contains('\x1b'), "no terminal is cleared that is none: {shown}");

    here.ok(&borrowed(&here.train("run", &[&changes[..], &["--resume"]].concat())));
    let shown = here.ok(&["watch", "run", "--once"]);
    assert!(shown.starts_with("run  step 60/60  100 %\nloss "), "nothing is left to wait for: {shown}");

    let refused = here.fails(1, &["watch", "."]);
    assert!(
        refused.contains("is no directory of a run") && refused.contains("hint: name what run.dir is"),
        "{refused}"
    );
}
