//! Reads a story back: which choices could have written this text?
//!
//! The grammar is a program, so it is parsed by running it. At each choice the reader takes the first option that
//! fits the text ahead and remembers the others; when the text is told to its end, or a written word disagrees, it
//! runs the program again with the last remembered alternative. Every derivation is found exactly once.

use super::author::{Author, cost_nats};
use super::plot;

/// Nats of each derivation of `text` in the grammar of the builtin stories.
///
/// Empty for a text that no author writes; exactly one entry, equal to [`Story::nats`](super::Story::nats), for a
/// story, because the grammar is unambiguous.
pub fn derivations(text: &str) -> Vec<f64> {
    let mut found = Vec::new();
    let mut script: Vec<Fork> = Vec::new();
    loop {
        let mut reader = Reader { rest: text, follows: true, nats: 0.0, at: 0, script };
        plot::tell(&mut reader);
        if reader.follows && reader.rest.is_empty() {
            found.push(reader.nats);
        }
        script = reader.script;
        // The next derivation to try differs from this one in its last open fork.
        while script.last().is_some_and(|fork| fork.untried.is_empty()) {
            script.pop();
        }
        match script.last_mut() {
            Some(fork) => fork.taken = fork.untried.pop().expect("forks without alternatives were just popped"),
            None => return found,
        }
    }
}

/// A choice on the way: the option taken and those still to try.
struct Fork {
    taken: usize,
    untried: Vec<usize>,
}

struct Reader<'t> {
    rest: &'t str,
    follows: bool,
    nats: f64,
    at: usize,
    script: Vec<Fork>,
}

impl Author for Reader<'_> {
    fn choose(&mut self, n: usize, fits: impl Fn(usize, &str) -> bool) -> usize {
        if !self.follows {
            return 0;
        }
        self.nats += cost_nats(n);
        if self.at == self.script.len() {
            let mut untried: Vec<usize> = (0..n).filter(|&i| fits(i, self.rest)).collect();
            match untried.pop() {
                Some(taken) => self.script.push(Fork { taken, untried }),
                None => {
                    self.follows = false;
                    return 0;
                }
            }
        }
        self.at += 1;
        self.script[self.at - 1].taken
    }

    fn write(&mut self, text: &str) {
        if self.follows {
            match self.rest.strip_prefix(text) {
                Some(rest) => self.rest = rest,
                None => self.follows = false,
            }
        }
    }
}
