//! What a cache holds, in a file that outlives its engine.
//!
//! ```text
//! "IteraPC\0" | version u32 | fingerprint of the model: bytes u32, as many | entries, what was used last at the end
//! entry: tokens u32 | logits u32 | bytes of the state u64 | tokens, u32 | logits, f32 | state | CRC-32C of the entry
//! ```
//!
//! Little-endian throughout. Bytes that are read are not trusted: nothing is allocated that the file has no bytes for.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    path::Path,
};

use itera_files::{FileError, write_atomic_with};
use itera_runtime::{RuntimeError, State};
use itera_tokenizer::TokenId;

use super::{Entry, PrefixCache};
use crate::loaded::Loaded;

const MAGIC: [u8; 8] = *b"IteraPC\0";
const VERSION: u32 = 1;

/// Bytes before the contents of an entry, which say how long they are, and of what stands behind them.
const SIZES: usize = 16;
const CHECKSUM: u64 = 4;

/// Why a file gives no states.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("it does not begin as a file of kept states does")]
    Magic,
    #[error("it is of version {found}, this program reads version {VERSION}")]
    Version { found: u32 },
    #[error("it was written by another model")]
    OtherModel,
    #[error("it is cut, or damaged")]
    Damaged,
    #[error(transparent)]
    State(#[from] RuntimeError),
}

impl PrefixCache {
    /// Write all that is kept for `loaded` to `path`, whole or not at all.
    pub fn save(&self, loaded: &Loaded, path: &Path) -> Result<(), FileError> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(_, entry)| entry.used);
        write_atomic_with(path, |file| {
            file.write_all(&head(loaded))?;
            entries.into_iter().try_for_each(|(tokens, entry)| write_entry(file, tokens, entry))
        })
    }

    /// Take up what an engine of the same model left at `path`, as far as it fits; nothing, where it left none.
    pub fn restore(&mut self, loaded: &Loaded, path: &Path) -> Result<(), Unusable> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let mut source = Source { left: file.metadata()?.len(), file: BufReader::new(file) };
        let head = head(loaded);
        let (start, model) = head.split_at(MAGIC.len() + 4);
        let found = source.take(start.len() as u64).map_err(|_| Unusable::Magic)?;
        let version = found.strip_prefix(&MAGIC).and_then(<[u8]>::first_chunk).ok_or(Unusable::Magic)?;
        match u32::from_le_bytes(*version) {
            VERSION => {}
            found => return Err(Unusable::Version { found }),
        }
        if source.take(model.len() as u64).ok().is_none_or(|found| found != model) {
            return Err(Unusable::OtherModel);
        }
        while source.left > 0 {
            match source.entry(loaded) {
                Ok((tokens, state, logits)) => self.keep(&tokens, &state, logits),
                // nothing is used of a file that is not whole
                Err(problem) => {
                    *self = Self::new(self.budget);
                    return Err(problem);
                }
            }
        }
        Ok(())
    }
}

/// An entry: tokens, the state behind them, and the logits after a whole prompt.
type Found = (Vec<TokenId>, State, Option<Vec<f32>>);

/// What is left of a file.
struct Source {
    file: BufReader<File>,
    left: u64,
}

impl Source {
    fn take(&mut self, bytes: u64) -> Result<Vec<u8>, Unusable> {
        self.left = self.left.checked_sub(bytes).ok_or(Unusable::Damaged)?;
        let mut taken = vec![0; bytes as usize];
        self.file.read_exact(&mut taken)?;
        Ok(taken)
    }

    fn entry(&mut self, loaded: &Loaded) -> Result<Found, Unusable> {
        let sizes = self.take(SIZES as u64)?;
        let size = |at: usize| sizes[at..].first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
        let (tokens, logits, state) = (4 * size(0), 4 * size(4), size(8) | size(12) << 32);
        let bytes = tokens + logits;
        let content = self.take(bytes.checked_add(state).ok_or(Unusable::Damaged)?)?;
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&sizes), &content);
        if self.take(CHECKSUM)? != checksum.to_le_bytes() {
            return Err(Unusable::Damaged);
        }
        let (numbers, state) = content.split_at(bytes as usize);
        let (tokens, logits) = numbers.split_at(tokens as usize);
        let tokens: Vec<TokenId> =
            tokens.as_chunks().0.iter().map(|bytes| TokenId(u32::from_le_bytes(*bytes))).collect();
        let logits: Vec<f32> = logits.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let state = loaded.model.load_state(state)?;
        let has_logits = !logits.is_empty();
        let fits =
            state.position() == tokens.len() && (!has_logits || logits.len() == loaded.model.config().vocab_size);
        fits.then(|| (tokens, state, has_logits.then_some(logits))).ok_or(Unusable::Damaged)
    }
}

/// What stands before the entries of a model.
fn head(loaded: &Loaded) -> Vec<u8> {
    let fingerprint = loaded.fingerprint.as_bytes();
    let mut head = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    head.extend((fingerprint.len() as u32).to_le_bytes());
    head.extend(fingerprint);
    head
}

fn write_entry(file: &mut dyn Write, tokens: &[TokenId], entry: &Entry) -> io::Result<()> {
    let (state, logits) = (entry.state.to_bytes(), entry.logits.as_deref().unwrap_or_default());
    let mut bytes = Vec::with_capacity(SIZES + 4 * (tokens.len() + logits.len()) + state.len());
    bytes.extend((tokens.len() as u32).to_le_bytes());
    bytes.extend((logits.len() as u32).to_le_bytes());
    bytes.extend((state.len() as u64).to_le_bytes());
    bytes.extend(tokens.iter().flat_map(|token| token.0.to_le_bytes()));
    bytes.extend(logits.iter().flat_map(|logit| logit.to_le_bytes()));
    bytes.extend(state);
    file.write_all(&bytes)?;
    file.write_all(&crc32c::crc32c(&bytes).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use itera_runtime::OpenOptions;

    use super::*;
    use crate::repository::ModelSource;

    fn loaded(name: &str) -> Loaded {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints").join(name);
        Loaded::open(ModelSource::new("stories", &path), &OpenOptions::default()).expect("the checkpoint opens")
    }

    /// A cache with a whole prompt and a beginning of one, its model, and the file that it is saved to.
    fn saved(dir: &Path) -> (Loaded, PathBuf) {
        let loaded = loaded("stories-75k.gguf");
        let model = &loaded.model;
        let mut cache = PrefixCache::new(usize::MAX);
        for (len, logits) in [(3, Some(vec![0.5; model.config().vocab_size])), (2, None)] {
            let (mut state, tokens) = (model.new_state(), vec![TokenId(1); len]);
            model.prefill(&mut state, &tokens, &mut model.workspace()).expect("it fits");
            cache.keep(&tokens, &state, logits);
        }
        let path = dir.join("states");
        cache.save(&loaded, &path).expect("written");
        (loaded, path)
    }

    #[test]
    fn what_was_saved_is_there_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let (loaded, path) = saved(dir.path());
        let mut cache = PrefixCache::new(usize::MAX);
        cache.restore(&loaded, &path).expect("it is whole");
        let (state, logits) = cache.find(&loaded.model, &[TokenId(1); 3]).expect("the whole prompt");
        assert_eq!((state.position(), logits.map(|logits| logits[0])), (3, Some(0.5)));
        assert!(cache.entries[&[TokenId(1); 2][..]].logits.is_none());
        // what was used last is what a smaller cache takes up
        let mut small = PrefixCache::new(cache.size_bytes() * 2 / 3);
        small.restore(&loaded, &path).expect("it is whole");
        assert_eq!(small.entries.keys().map(|tokens| tokens.len()).collect::<Vec<_>>(), [2]);
        cache.restore(&loaded, &dir.path().join("none")).expect("none is no error");
    }

    #[test]
    fn nothing_is_taken_up_of_what_is_cut_damaged_or_of_another_model() {
        let dir = tempfile::tempdir().expect("a directory");
        let (loaded, path) = saved(dir.path());
        let whole = fs::read(&path).expect("it is there");
        let fails = |bytes: &[u8], what: &str| {
            fs::write(&path, bytes).expect("written");
            let mut cache = PrefixCache::new(usize::MAX);
            assert!(cache.restore(&loaded, &path).is_err(), "{what}");
            assert_eq!(cache.size_bytes(), 0, "{what}");
        };
        // all places of heads, and some of what is longer
        for at in (0..whole.len()).filter(|at| *at < 80 || at % 97 == 0) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x41;
            fails(&damaged, &format!("byte {at}"));
            let ends_with_an_entry = at == head(&loaded).len();
            if !ends_with_an_entry {
                fails(&whole[..at], &format!("{at} bytes"));
            }
        }
        fails(&[&whole[..], &[0]].concat(), "a byte more");
        let mut other = self::loaded("stories-151k.gguf");
        let mut cache = PrefixCache::new(usize::MAX);
        fs::write(&path, &whole).expect("written");
        assert!(matches!(cache.restore(&other, &path), Err(Unusable::OtherModel)));
        // one that says so of itself alone
        other.fingerprint.clone_from(&loaded.fingerprint);
        assert!(matches!(cache.restore(&other, &path), Err(Unusable::State(_))));
    }
}
