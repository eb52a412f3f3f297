//! What is said of answers, and of which it may be.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use itera_files::failed_to;
use serde::Serialize;

use crate::{
    account::Account,
    error::Result,
    feedback::{answers::Answers, journal::Journal},
    loaded::Loaded,
    refusal::Refusal,
};

/// What people said, and of which answers they may.
#[derive(Debug)]
pub(crate) struct Feedback {
    inner: Mutex<Inner>,
    /// Whether texts are taken in too.
    with_texts: bool,
}

#[derive(Debug)]
struct Inner {
    journal: Journal,
    answers: Answers,
}

/// What was said of a choice.
#[derive(Debug)]
pub(crate) struct Said {
    /// Of the answer.
    pub id: String,
    /// Which of its texts, from 0.
    pub choice: usize,
    /// From -1 to 1.
    pub rating: Option<f64>,
    /// What the text should have been.
    pub correction: Option<String>,
}

#[derive(Serialize)]
struct Entry<'a> {
    /// Seconds since 1970.
    time: u64,
    id: &'a str,
    choice: usize,
    model: &'a str,
    system_fingerprint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correction: Option<&'a str>,
}

impl Feedback {
    /// What goes on in the journal at `path`, which is made if it is not there, up to `most_bytes` of it.
    pub fn open(path: &Path, most_bytes: u64, with_texts: bool) -> Result<Self> {
        let journal = Journal::open(path, most_bytes).map_err(failed_to("open", path))?;
        let inner = Inner { journal, answers: Answers::default() };
        Ok(Self { inner: Mutex::new(inner), with_texts })
    }

    /// The request of this task has an answer of so many choices, which `loaded` gives.
    pub fn answered(&self, id: &str, loaded: &Loaded, choices: usize) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).answers.add(id, Account::key_now(), loaded, choices);
    }

    /// Whether texts are taken in too.
    pub fn takes_texts(&self) -> bool {
        self.with_texts
    }

    /// Write down what the request of this task says, once for each choice of an answer.
    pub fn keep(&self, said: &Said) -> Result<(), Refusal> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { journal, answers, .. } = &mut *inner;
        let answered = answers.find(&said.id, Account::key_now()).ok_or_else(|| Refusal::no_answer(&said.id))?;
        if said.choice >= answered.choices {
            let problem = format!("choice: expected one of the {} of the answer, from 0", answered.choices);
            return Err(Refusal::field("choice", problem));
        }
        if answered.judged.contains(&said.choice) {
            return Err(Refusal::said_already());
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let entry = Entry {
            time,
            id: &said.id,
            choice: said.choice,
            model: &answered.model,
            system_fingerprint: &answered.system_fingerprint,
            rating: said.rating,
            correction: said.correction.as_deref(),
        };
        let mut line = serde_json::to_string(&entry).expect("strings and numbers are JSON");
        line.push('\n');
        journal.append(line.as_bytes()).map_err(|problem| Refusal::not_kept(&problem.kind().to_string()))?;
        answered.judged.insert(said.choice);
        Ok(())
    }
}
