//! counted words → the most frequent pair joined, again and again → tokens and merges (arXiv 1508.07909, algorithm 1).
//!
//! ```text
//! words ──a symbol a byte──▶ symbols, linked ──neighbours──▶ pairs: count, places ──▶ queue by (count, pair)
//!                                 ▲                                                        │ most frequent
//!                                 └───────────── joined at its places ◀────────────────────┘
//! ```
//!
//! A pair remembers every place where it arose, so joining it costs what it changes and no word is searched: each join
//! leaves one symbol fewer and makes two places at most, and the whole is O(n log n) in the bytes of the words, however
//! they are cut.
//!
//! The result is that of `tokenizers` 0.22 to the byte, in three things that the paper leaves open too. Ties go to the pair
//! of the lowest ids. A pair that was joined keeps its count, so it counts for more if a token that is made in two ways
//! brings it back. And it is then queued once for each round in which it arose, with the words of that round: popping an
//! entry joins it in those words alone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use rustc_hash::{FxHashMap, FxHashSet};

/// Two neighbours.
pub(crate) type Pair = (u32, u32);

/// What was learnt: the bytes of the tokens by id, and the pairs to join, the first the most eager.
pub(crate) struct Learnt {
    pub(crate) tokens: Vec<Vec<u8>>,
    pub(crate) merges: Vec<Pair>,
}

/// No symbol.
const NONE: u32 = u32::MAX;

/// Some bytes of a word that are one token for now; places are counted from the beginning of the word.
#[derive(Clone, Copy)]
struct Symbol {
    /// [`NONE`] if it was joined to the one before.
    id: u32,
    before: u32,
    after: u32,
}

struct Word {
    /// Where it lies among the symbols.
    symbols: Range<usize>,
    /// How often it occurs in the text.
    count: i64,
}

/// Where a pair arose; the order is that in which pairs are joined.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    word: u32,
    at: u32,
}

/// What is known of a pair.
#[derive(Default)]
struct Known {
    /// How often it stands in the text, and how often it was joined already.
    count: i64,
    /// Where it arose. It may be gone from there.
    places: Vec<Place>,
    /// Places that some entry of the queue covers.
    queued: usize,
}

/// A pair to join in the words of some of its places. The greatest is joined first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    count: i64,
    pair: Reverse<Pair>,
    /// Places, from and to.
    places: Reverse<(usize, usize)>,
}

pub(crate) struct Learner {
    symbols: Vec<Symbol>,
    words: Vec<Word>,
    pairs: FxHashMap<Pair, Known>,
    queue: BinaryHeap<Entry>,
    /// Pairs with places that are not queued yet.
    fresh: Vec<Pair>,
}

impl Learner {
    /// Words and how often each occurs; `id_of` is the token of each byte.
    pub(crate) fn new<'w>(words: impl Iterator<Item = (&'w [u8], u64)>, id_of: &[u32; 256]) -> Self {
        let mut learner = Self {
            symbols: Vec::new(),
            words: Vec::new(),
            pairs: FxHashMap::default(),
            queue: BinaryHeap::new(),
            fresh: Vec::new(),
        };
        // places have 32 bits: what is longer is cut
        let cut = words.flat_map(|(word, count)| word.chunks(NONE as usize).map(move |word| (word, count)));
        for (word, count) in cut {
            learner.add(word, i64::try_from(count).unwrap_or(i64::MAX), id_of);
        }
        learner.queue_fresh();
        learner
    }

    fn add(&mut self, word: &[u8], count: i64, id_of: &[u32; 256]) {
        let number = u32::try_from(self.words.len()).expect("that many different words fill no memory there is");
        let (start, len) = (self.symbols.len(), word.len() as u32);
        let symbol = |(at, byte): (u32, &u8)| Symbol {
            id: id_of[usize::from(*byte)],
            before: at.checked_sub(1).unwrap_or(NONE),
            after: if at + 1 < len { at + 1 } else { NONE },
        };
        self.symbols.extend((0..).zip(word).map(symbol));
        self.words.push(Word { symbols: start..self.symbols.len(), count });
        for (at, pair) in (0..).zip(word.windows(2)) {
            let pair = (id_of[usize::from(pair[0])], id_of[usize::from(pair[1])]);
            self.gain(pair, count, Place { word: number, at });
        }
    }

    /// Joins pairs until there are `vocab_size` tokens, those of `tokens` among them, or nothing is left to join. Tells
    /// `watch` how many there are after each.
    pub(crate) fn learn(mut self, tokens: Vec<Vec<u8>>, vocab_size: usize, watch: &mut dyn FnMut(usize)) -> Learnt {
        let mut ids: FxHashMap<Vec<u8>, u32> = tokens.iter().cloned().zip(0..).collect();
        let (mut tokens, mut merges) = (tokens, Vec::new());
        watch(tokens.len());
        while tokens.len() < vocab_size {
            let Some(mut entry) = self.queue.pop() else { break };
            let Reverse(pair) = entry.pair;
            let known = self.pairs.get_mut(&pair).expect("what is queued is known");
            if entry.count != known.count {
                entry.count = known.count;
                self.queue.push(entry);
                continue;
            }
            if entry.count < 1 {
                break;
            }
            let Reverse((start, end)) = entry.places;
            let places = known.take(start..end);
            let text = [&tokens[pair.0 as usize][..], &tokens[pair.1 as usize]].concat();
            let joined = *ids.entry(text).or_insert_with_key(|text| {
                tokens.push(text.clone());
                tokens.len() as u32 - 1
            });
            merges.push(pair);
            self.join(pair, joined, &places);
            self.queue_fresh();
            watch(tokens.len());
        }
        // a pair that came back has the rank of its last time
        let mut seen = FxHashSet::default();
        merges.reverse();
        merges.retain(|pair| seen.insert(*pair));
        merges.reverse();
        Learnt { tokens, merges }
    }

    /// Joins a pair where it still stands at one of the places, which are in order.
    fn join(&mut self, pair: Pair, joined: u32, places: &[Place]) {
        for &Place { word, at } in places {
            let Word { symbols, count } = &self.words[word as usize];
            let (symbols, count) = (&mut self.symbols[symbols.clone()], *count);
            let left = symbols[at as usize];
            if left.id != pair.0 || left.after == NONE || symbols[left.after as usize].id != pair.1 {
                continue;
            }
            let right = symbols[left.after as usize];
            symbols[left.after as usize].id = NONE;
            symbols[at as usize] = Symbol { id: joined, after: right.after, ..left };
            let before = symbols.get(left.before as usize).map(|symbol| symbol.id);
            let after = symbols.get_mut(right.after as usize).map(|symbol| {
                symbol.before = at;
                symbol.id
            });
            if let Some(before) = before {
                self.lose((before, pair.0), count);
                self.gain((before, joined), count, Place { word, at: left.before });
            }
            if let Some(after) = after {
                self.lose((pair.1, after), count);
                self.gain((joined, after), count, Place { word, at });
            }
        }
    }

    fn lose(&mut self, pair: Pair, count: i64) {
        self.pairs.entry(pair).or_default().count -= count;
    }

    fn gain(&mut self, pair: Pair, count: i64, place: Place) {
        let known = self.pairs.entry(pair).or_default();
        known.count += count;
        if known.places.len() == known.queued {
            self.fresh.push(pair);
        }
        known.places.push(place);
    }

    fn queue_fresh(&mut self) {
        for pair in self.fresh.drain(..) {
            let known = self.pairs.get_mut(&pair).expect("a pair with places is known");
            if known.count > 0 {
                let places = Reverse((known.queued, known.places.len()));
                known.queued = known.places.len();
                self.queue.push(Entry { count: known.count, pair: Reverse(pair), places });
            } else {
                known.places.truncate(known.queued); // it came and went
            }
        }
    }
}

impl Known {
    /// All places, in order, in the words of those of an entry.
    fn take(&mut self, entry: Range<usize>) -> Vec<Place> {
        let mut places = if entry == (0..self.places.len()) {
            self.queued = 0;
            std::mem::take(&mut self.places)
        } else {
            let words: FxHashSet<u32> = self.places[entry].iter().map(|place| place.word).collect();
            self.places.iter().filter(|place| words.contains(&place.word)).copied().collect()
        };
        places.sort_unstable();
        places
    }
}
