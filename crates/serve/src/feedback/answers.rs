//! The answers that may be judged: the latest of this process, each by who asked for it.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use crate::{
    keys::{Key, Role},
    loaded::Loaded,
};

/// Answers that are remembered.
const ANSWERS: usize = 1 << 16;

/// Bytes of an id that is remembered: a client may give an answer one of its own.
const ID_LEN: usize = 256;

/// All that are remembered.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Of each id one for each who asked for it.
    of_ids: HashMap<Arc<str>, Vec<Answered>>,
    /// Number and id of each that was added, the oldest first.
    order: VecDeque<(u64, Arc<str>)>,
    added: u64,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Answered {
    number: u64,
    /// The name of the key that asked for it.
    key: Option<Arc<str>>,
    pub model: String,
    pub system_fingerprint: String,
    pub choices: usize,
    /// Choices that something was said of.
    pub judged: BTreeSet<usize>,
}

impl Answers {
    /// Remember an answer, in the place of another with this id that `key` asked for.
    pub fn add(&mut self, id: &str, key: Option<Key>, loaded: &Loaded, choices: usize) {
        if id.len() > ID_LEN {
            return;
        }
        let (id, number): (Arc<str>, u64) = (id.into(), self.added);
        let answered = Answered {
            number,
            key: key.map(|key| key.name),
            model: loaded.name.clone(),
            system_fingerprint: loaded.fingerprint.clone(),
            choices,
            judged: BTreeSet::new(),
        };
        self.added += 1;
        let of_id = self.of_ids.entry(id.clone()).or_default();
        of_id.retain(|other| other.key != answered.key);
        of_id.push(answered);
        self.order.push_back((number, id));
        if self.order.len() > ANSWERS
            && let Some((number, id)) = self.order.pop_front()
            && let Some(of_id) = self.of_ids.get_mut(&id)
        {
            of_id.retain(|other| other.number != number);
            if of_id.is_empty() {
                self.of_ids.remove(&id);
            }
        }
    }

    /// The answer with this id that `key` may judge: the one that it asked for, or, of an admin, the latest.
    pub fn find(&mut self, id: &str, key: Option<Key>) -> Option<&mut Answered> {
        let is_admin = key.as_ref().is_some_and(|key| key.role == Role::Admin);
        let name = key.map(|key| key.name);
        let of_id = self.of_ids.get_mut(id)?;
        let own = of_id.iter().position(|answered| answered.key == name);
        let found = own.or_else(|| is_admin.then(|| of_id.len() - 1))?;
        of_id.get_mut(found)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use itera_runtime::OpenOptions;

    use super::*;
    use crate::repository::ModelSource;

    #[test]
    fn the_latest_are_remembered_whatever_their_ids() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/stories-75k.gguf");
        let loaded = Loaded::open(ModelSource::new("stories", &path), &OpenOptions::default()).expect("it opens");
        let mut answers = Answers::default();
        answers.add("again", None, &loaded, 1);
        answers.add("old", None, &loaded, 1);
        answers.add("again", None, &loaded, 2);
        answers.add(&"x".repeat(ID_LEN + 1), None, &loaded, 1);
        for number in 3..ANSWERS {
            answers.add(&format!("{number}"), None, &loaded, 1);
        }
        assert!(answers.find("old", None).is_some());
        // the first of two with one id is forgotten, the second is not
        answers.add("new", None, &loaded, 1);
        answers.add("newer", None, &loaded, 1);
        assert!(answers.find("old", None).is_none());
        assert_eq!(answers.find("again", None).map(|answered| answered.choices), Some(2));
        answers.add("newest", None, &loaded, 1);
        assert!(answers.find("again", None).is_none());
        assert_eq!((answers.order.len(), answers.of_ids.len()), (ANSWERS, ANSWERS));
        assert!(answers.find(&"x".repeat(ID_LEN + 1), None).is_none());
    }
}
