//! word → tokens: the pair with the most eager merge is joined, the leftmost first, until no pair has one
//! (arXiv 1508.07909, algorithm 1, over bytes).
//!
//! ```text
//! word ──whole──▶ id                                   a word that its merges make one token, found in one lookup
//!   └──▶ bytes ──queue of (rank, position)──▶ ids      any other
//! ```

use std::{cmp::Reverse, collections::BinaryHeap, hash::BuildHasher};

use hashbrown::HashTable;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::token::TokenId;
use crate::{texts::Texts, words::words};

/// What encoding needs of a vocabulary.
#[derive(Clone)]
pub(crate) struct Encoder {
    /// Tokens of the single bytes; the unknown one for those that have none.
    bytes: [TokenId; 256],
    /// Rank of the merge of two neighbours, the lowest the most eager, and the token that it makes.
    merges: FxHashMap<(TokenId, TokenId), Merge>,
    /// What each token stands for; special ones for none.
    texts: Texts,
    /// The tokens that their own text merges into, found by that text.
    whole: HashTable<TokenId>,
}

#[derive(Clone, Copy)]
struct Merge {
    rank: u32,
    joined: TokenId,
}

impl Encoder {
    /// The encoder of a vocabulary whose tokens stand for `texts` (special ones for none), with merges in order; `unknown`
    /// takes the place of bytes that have no token.
    ///
    /// `None` if a byte has no token and nothing takes its place.
    pub(crate) fn new(
        texts: Texts,
        merges: impl Iterator<Item = [TokenId; 3]>,
        unknown: Option<TokenId>,
    ) -> Option<Self> {
        let ids = || (0..).map(TokenId).zip(texts.iter()).filter(|(_, text)| !text.is_empty());
        let mut bytes = [unknown; 256];
        ids().filter(|(_, text)| text.len() == 1).for_each(|(id, text)| bytes[usize::from(text[0])] = Some(id));
        let bytes = bytes.into_iter().collect::<Option<Vec<_>>>()?.try_into().ok()?;
        let merges = (0..).zip(merges).map(|(rank, [left, right, joined])| ((left, right), Merge { rank, joined }));
        let mut encoder = Self { bytes, merges: merges.collect(), texts: Texts::default(), whole: HashTable::new() };

        let mut work = Work::default();
        let mut whole = HashTable::with_capacity(texts.len());
        for (id, text) in ids() {
            encoder.merge(encoder.bytes_of(text), &mut work);
            if work.tokens().map(|(id, _)| id).eq([id]) {
                let hash_of = |id: &TokenId| hash(texts.get(id.index()).unwrap_or_default());
                whole.insert_unique(hash(text), id, hash_of);
            }
        }
        (encoder.texts, encoder.whole) = (texts, whole);
        Some(encoder)
    }

    /// What each token stands for.
    pub(crate) fn texts(&self) -> &Texts {
        &self.texts
    }

    /// The tokens of a text.
    pub(crate) fn encode(&self, text: &str) -> Vec<TokenId> {
        let mut ids = Vec::with_capacity(text.len() / 2);
        let mut work = Work::default();
        for word in words(text) {
            let word = word.as_bytes();
            match self.whole.find(hash(word), |id| self.texts.get(id.index()) == Some(word)) {
                Some(&id) => ids.push(id),
                None => {
                    self.merge(self.bytes_of(word), &mut work);
                    ids.extend(work.tokens().map(|(id, _)| id));
                }
            }
        }
        ids
    }

    /// The token of a byte.
    pub(crate) fn byte(&self, byte: u8) -> TokenId {
        self.bytes[usize::from(byte)]
    }

    /// The tokens of the bytes of a text.
    fn bytes_of(&self, text: &[u8]) -> impl Iterator<Item = TokenId> {
        text.iter().map(|byte| self.byte(*byte))
    }

    /// The token that begins the text of a token of any vocabulary.
    pub(crate) fn first_of(&self, text: &[u8]) -> Option<TokenId> {
        let mut work = Work::default();
        self.merge(self.bytes_of(text), &mut work);
        work.tokens().next().map(|(id, _)| id)
    }

    /// What tokens are joined to, and how many of them each is made of.
    pub(crate) fn join(&self, ids: &[TokenId]) -> Vec<(TokenId, usize)> {
        let mut work = Work::default();
        self.merge(ids.iter().copied(), &mut work);
        work.tokens().collect()
    }

    /// Join tokens until no pair has a merge.
    fn merge(&self, ids: impl Iterator<Item = TokenId>, work: &mut Work) {
        let Work { symbols, queue } = work;
        symbols.clear();
        symbols.extend((0..).zip(ids).map(|(at, id)| Symbol::at(at, id)));
        queue.clear();
        for at in 1..symbols.len() {
            self.offer(at - 1, at, symbols, queue);
        }
        while let Some(Reverse(Candidate { left, joined, .. })) = queue.pop() {
            let symbol = symbols[left as usize];
            let Some(&right) = symbols.get(symbol.end as usize).filter(|_| symbol.is_there()) else { continue };
            // an entry may be older than the symbols that it meant
            if self.merges.get(&(symbol.id, right.id)).is_none_or(|merge| merge.joined != joined) {
                continue;
            }
            symbols[symbol.end as usize] = Symbol::GONE;
            symbols[left as usize] = Symbol { id: joined, end: right.end, ..symbol };
            if let Some(next) = symbols.get_mut(right.end as usize) {
                next.before = left;
                self.offer(left as usize, right.end as usize, symbols, queue);
            }
            if left > 0 {
                self.offer(symbol.before as usize, left as usize, symbols, queue);
            }
        }
    }

    /// Queue the merge of two neighbours, if they have one.
    fn offer(&self, left: usize, right: usize, symbols: &[Symbol], queue: &mut BinaryHeap<Reverse<Candidate>>) {
        if let Some(&Merge { rank, joined }) = self.merges.get(&(symbols[left].id, symbols[right].id)) {
            queue.push(Reverse(Candidate { rank, left: left as u32, joined }));
        }
    }
}

fn hash(text: &[u8]) -> u64 {
    FxBuildHasher.hash_one(text)
}

/// Memory that one word leaves to the next.
#[derive(Default)]
struct Work {
    /// As many as there were tokens, each at the place of its first.
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Reverse<Candidate>>,
}

impl Work {
    /// The tokens that are left, and how many each was made of.
    fn tokens(&self) -> impl Iterator<Item = (TokenId, usize)> {
        let there = self.symbols.iter().enumerate().filter(|(_, symbol)| symbol.is_there());
        there.map(|(at, symbol)| (symbol.id, symbol.end as usize - at))
    }
}

/// Some tokens that are one for now.
#[derive(Clone, Copy)]
struct Symbol {
    id: TokenId,
    /// Where the symbol before it begins.
    before: u32,
    /// Where it ends and the next one begins; 0 if it was joined to the one before.
    end: u32,
}

impl Symbol {
    const GONE: Self = Self { id: TokenId(0), before: 0, end: 0 };

    fn at(at: u32, id: TokenId) -> Self {
        Self { id, before: at.saturating_sub(1), end: at + 1 }
    }

    fn is_there(&self) -> bool {
        self.end > 0
    }
}

/// A merge that may be due; the field order is the order in which they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: u32,
    joined: TokenId,
}
