//! Texts that are asked for piece by piece, as Triton's sequence extension has it.
//!
//! ```text
//! request of a sequence ─ waits for its turn ─▶ tokens of all before it, and its own ─▶ one prompt ─▶ text ─┐
//!                              ▲                            ┌────────── what was chosen ───────────────────┘
//!                              └──────────── tokens ◀───────┘
//! ```
//!
//! What a sequence keeps is its tokens. The state behind them lies where that of each prompt lies, in the cache, and is made
//! again where it was dropped. So a request of a sequence has, to the byte, the answer to one request with all its tokens.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use itera_tokenizer::TokenId;
use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

use crate::{account::Account, loaded::Loaded, queue::Refused};

/// Sequences that are kept.
const MOST: usize = 1024;

/// Bytes of the tokens that they keep.
const MOST_BYTES: usize = 16 << 20;

/// What a request calls its sequence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    Number(u64),
    Text(String),
}

/// One sequence: another model, and another key, has others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Id {
    model: String,
    /// So that no sequence goes on in a model that took the place of another.
    fingerprint: String,
    key: Option<Arc<str>>,
    name: Name,
}

/// What a request wants of its sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub name: Name,
    /// Whether it is the first, whatever was before it.
    pub is_start: bool,
    /// Whether nothing is kept after it.
    pub is_end: bool,
}

/// Why a request cannot be a part of its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// There is no such sequence, or it was idle for too long.
    Unknown,
    /// Too many wait.
    Refused(Refused),
}

/// All sequences of a server.
#[derive(Debug)]
pub(crate) struct Sequences {
    kept: Mutex<HashMap<Id, Kept>>,
    /// Time after which a sequence that nobody asks is forgotten.
    idle: Duration,
    /// Requests of one key that may wait for their turns.
    most_waiting: usize,
}

/// A sequence, and what is known of it without its turn. It is in use where others have its `tokens` too.
#[derive(Debug)]
struct Kept {
    /// All tokens so far; none before its first request has its answer, and after its last.
    tokens: Arc<Turns<Vec<TokenId>>>,
    bytes: usize,
    used: Instant,
}

/// The one request of a sequence that is under way. Dropped, it leaves the sequence as it was.
#[derive(Debug)]
pub(crate) struct Turn {
    sequences: Arc<Sequences>,
    id: Id,
    part: Part,
    tokens: OwnedMutexGuard<Vec<TokenId>>,
}

impl Kept {
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.tokens) > 1
    }
}

impl Sequences {
    /// None so far.
    pub fn new(idle: Duration, most_waiting: usize) -> Self {
        Self { kept: Mutex::default(), idle, most_waiting }
    }

    /// The turn of a request, once those of its sequence that came before it have theirs behind them.
    pub async fn turn(self: &Arc<Self>, loaded: &Loaded, part: Part) -> Result<Turn, NoTurn> {
        let key = Account::key_now().map(|key| key.name);
        let (model, fingerprint) = (loaded.name.clone(), loaded.fingerprint.clone());
        let id = Id { model, fingerprint, key, name: part.name.clone() };
        let tokens = self.find(&id, part.is_start)?.lock_owned().await;
        match tokens.is_empty() && !part.is_start {
            true => Err(NoTurn::Unknown),
            false => Ok(Turn { sequences: self.clone(), id, part, tokens }),
        }
    }

    /// The tokens of a sequence, which is there from now on if this is its start.
    fn find(&self, id: &Id, is_start: bool) -> Result<Arc<Turns<Vec<TokenId>>>, NoTurn> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, one| one.is_in_use() || one.bytes > 0 && one.used.elapsed() <= self.idle);
        let of_key = kept.iter().filter(|(other, _)| other.key == id.key);
        let waiting: usize = of_key.map(|(_, one)| Arc::strong_count(&one.tokens) - 1).sum();
        if let Some(one) = kept.get_mut(id) {
            // the one whose turn it is does not wait
            if one.is_in_use() && waiting > self.most_waiting {
                return Err(NoTurn::Refused(Refused::Full));
            }
            one.used = Instant::now();
            return Ok(one.tokens.clone());
        }
        if !is_start {
            return Err(NoTurn::Unknown);
        }
        while kept.len() >= MOST {
            forget_one(&mut kept, None).ok_or(NoTurn::Refused(Refused::Full))?;
        }
        let tokens: Arc<Turns<Vec<TokenId>>> = Arc::default();
        kept.insert(id.clone(), Kept { tokens: tokens.clone(), bytes: 0, used: Instant::now() });
        Ok(tokens)
    }
}

/// Forget a sequence that is not in use and is not `but`: of the key that has most, the one that nobody asked for longest.
fn forget_one(kept: &mut HashMap<Id, Kept>, but: Option<&Id>) -> Option<()> {
    let mut of_keys: HashMap<Option<Arc<str>>, (usize, usize)> = HashMap::new();
    for (id, one) in &*kept {
        let of_key = of_keys.entry(id.key.clone()).or_default();
        *of_key = (of_key.0 + one.bytes, of_key.1 + 1);
    }
    let idle = kept.iter().filter(|(id, one)| !one.is_in_use() && Some(*id) != but);
    let chosen = idle.max_by_key(|(id, one)| (of_keys[&id.key], Reverse(one.used)));
    let chosen = chosen.map(|(id, _)| id.clone())?;
    kept.remove(&chosen).map(|_| ())
}

impl Turn {
    /// The tokens before those of the request; none at the start.
    pub fn before(&self) -> &[TokenId] {
        if self.part.is_start { &[] } else { &self.tokens }
    }

    /// The request has its answer: the sequence has all of `tokens` now, those before it among them.
    pub fn end(mut self, tokens: Vec<TokenId>) {
        let sequences = self.sequences.clone();
        let mut kept = sequences.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *self.tokens = if self.part.is_end { vec![] } else { tokens };
        if let Some(one) = kept.get_mut(&self.id) {
            (one.bytes, one.used) = (size_of_val(&self.tokens[..]), Instant::now());
        }
        while kept.values().map(|one| one.bytes).sum::<usize>() > MOST_BYTES {
            if forget_one(&mut kept, Some(&self.id)).is_none() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        task::{Context, Waker},
    };

    use itera_runtime::OpenOptions;

    use super::*;
    use crate::repository::ModelSource;

    fn number(number: u64, is_start: bool, is_end: bool) -> Part {
        Part { name: Name::Number(number), is_start, is_end }
    }

    fn of(key: &str, number: u64) -> Id {
        let key = Some(key.into());
        Id { model: String::new(), fingerprint: String::new(), key, name: Name::Number(number) }
    }

    #[test]
    fn who_has_most_loses_what_was_idle_for_longest() {
        let began = Instant::now();
        let kept = |bytes: usize, second: u64| {
            let used = began + Duration::from_secs(second);
            Kept { tokens: Arc::default(), bytes, used: used - Duration::from_secs(1000) }
        };
        let Some(_) = began.checked_sub(Duration::from_secs(1000)) else { return };
        let mut all: HashMap<Id, Kept> = (0..4).map(|n| (of("alice", n), kept(10, n))).collect();
        all.insert(of("bob", 0), kept(35, 0));
        let busy = all[&of("alice", 0)].tokens.clone();
        let mut forget = |but: Option<Id>| {
            let before: Vec<Id> = all.keys().cloned().collect();
            forget_one(&mut all, but.as_ref())?;
            before.into_iter().find(|id| !all.contains_key(id))
        };
        assert_eq!(forget(Some(of("alice", 1))), Some(of("alice", 2)), "the first is in use, the second excepted");
        assert_eq!(forget(None), Some(of("bob", 0)), "who has most now");
        assert_eq!([forget(None), forget(None), forget(None)], [Some(of("alice", 1)), Some(of("alice", 3)), None]);
        drop(busy);
        assert_eq!(forget_one(&mut all, None), Some(()));
    }

    #[test]
    fn there_is_an_end_to_what_is_kept_and_to_who_waits() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/stories-75k.gguf");
        let loaded = Loaded::open(ModelSource::new("stories", &path), &OpenOptions::default()).expect("it opens");
        let sequences = Arc::new(Sequences::new(Duration::from_secs(600), 2));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            for id in 0..MOST as u64 {
                let turn = sequences.turn(&loaded, number(id, true, false)).await.expect("a turn");
                assert_eq!(turn.before(), []);
                turn.end(vec![TokenId(id as u32); 2]);
            }
            let turn = sequences.turn(&loaded, number(1, false, false)).await.expect("a turn");
            assert_eq!(turn.before(), [TokenId(1); 2]);
            drop(turn);
            // one more is one less of another, and so are many tokens
            sequences.turn(&loaded, number(u64::MAX, true, false)).await.expect("a turn").end(vec![TokenId(0)]);
            assert_eq!(sequences.turn(&loaded, number(0, false, false)).await.err(), Some(NoTurn::Unknown));
            let large = vec![TokenId(0); MOST_BYTES / 4 - 2];
            sequences.turn(&loaded, number(1, false, false)).await.expect("a turn").end(large.clone());
            let left: Vec<usize> = sequences.kept.lock().expect("no panic").values().map(|one| one.bytes).collect();
            assert!(
                left.iter().sum::<usize>() <= MOST_BYTES && left.contains(&size_of_val(&large[..])),
                "{}",
                left.len()
            );
            assert_eq!(left.len(), 2);
            // what ends leaves nothing
            sequences.turn(&loaded, number(1, false, true)).await.expect("a turn").end(large);
            assert_eq!(sequences.turn(&loaded, number(1, false, false)).await.err(), Some(NoTurn::Unknown));
            assert_eq!(sequences.kept.lock().expect("no panic").len(), 1);

            // a turn that is refused is no start, and those behind it hear of it
            let turn = sequences.turn(&loaded, number(5, true, false)).await.expect("a turn");
            let waiting = [false, true].map(|is_start| {
                let (sequences, loaded) = (sequences.clone(), &loaded);
                Box::pin(async move { sequences.turn(loaded, number(5, is_start, false)).await })
            });
            let [mut first, mut second] = waiting;
            let mut context = Context::from_waker(Waker::noop());
            assert!(first.as_mut().poll(&mut context).is_pending());
            assert!(second.as_mut().poll(&mut context).is_pending());
            let full = sequences.turn(&loaded, number(5, true, false)).await.err();
            assert_eq!(full, Some(NoTurn::Refused(Refused::Full)));
            drop(turn);
            assert_eq!(first.await.err(), Some(NoTurn::Unknown));
            second.await.expect("a turn").end(vec![TokenId(7)]);
            assert_eq!(sequences.turn(&loaded, number(5, false, false)).await.expect("a turn").before(), [TokenId(7)]);
        });
    }
}
