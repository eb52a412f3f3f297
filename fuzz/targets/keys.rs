//! A file of keys → keys, or what is wrong with it, told without any of it.
#![no_main]

use itera_serve::{KeyProblem, ServeError, in_process::count_keys};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let is_told = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let lines: Vec<&str> = text.lines().filter(is_told).collect();
    match count_keys(text) {
        Ok(count) => {
            assert_eq!(count, lines.len());
            let last = lines.last().expect("a file has a key");
            let again = count_keys(&format!("{text}\n{last}"));
            assert!(matches!(again, Err(ServeError::Key { problem: KeyProblem::Twice, .. })));
        }
        Err(ServeError::Key { line, problem, .. }) => {
            let line = text.lines().nth(line - 1).expect("a line of the file");
            assert!(is_told(&line));
            // a word of the line that is no word of the problem may be a key
            let words = line.split_whitespace().filter(|word| word.len() > 10);
            assert!(words.into_iter().all(|word| !problem.to_string().contains(word)));
        }
        Err(other) => assert!(lines.is_empty() && matches!(other, ServeError::NoKey { .. }), "{other}"),
    }
});
