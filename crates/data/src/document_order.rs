//! sequence index → window that begins where a document begins
//!
//! ```text
//! documents, no longer than a window      packed best-fit, whole, in an order of their own in each epoch
//!   eos├─ document ─┤├─ document ─┤├─ beginning of any
//! longer ones                             cut into pieces; the last windows of them may have room for whole documents
//!   eos├──────── beginning ───────┤
//!     x├─────────── piece ────────┤
//!     x… context ├─ rest ─┤├─ document ─┤
//! ```
//!
//! No text is lost: in each epoch every token is a target. A document that fits into a window is predicted from its
//! beginning to its eos, as `itera eval` scores it. Behind eos comes a beginning, never the middle of a document. What is left
//! of a window is filled with tokens that the epoch has elsewhere: where the window begins with the rest of a long document,
//! those before the rest, else the beginning of any document.
//!
//! Which documents share a window differs from epoch to epoch, but how many windows an epoch has does not: the epoch and the
//! window of a sequence are a division away. So lengths alone are packed, once, and in each epoch the documents of about a
//! length change places among themselves.

use std::{cmp::Reverse, ops::Range};

use itera_tokenizer::TokenId;

use crate::{batch::Window, best_fit::Bins, permutation::Permutation, shard::Shard, splitmix::mix};

/// Documents change places with those whose length agrees with theirs in so many significant bits. More would pack
/// tighter (a document takes up 1 % more than it has) and mix less.
const SIGNIFICANT_BITS: u32 = 6;

/// What is random in an epoch.
#[derive(Clone, Copy)]
enum Draw {
    /// The order of its windows.
    Windows,
    /// The places of the documents of about a length.
    Places,
    /// The order of the documents of a window.
    Within,
    /// Where a long document is cut.
    Cut,
    /// Whose beginning fills a window.
    Filler,
}

/// A word for number `of` of a draw in the epoch of `key`.
fn draw(key: u64, what: Draw, of: u64) -> u64 {
    mix(mix(key, what as u64), of)
}

/// The windows of an epoch: the pieces of all long documents, then the bins of other ones.
#[derive(Debug)]
pub(crate) struct DocumentOrder {
    seq_len: usize,
    seed: u64,
    /// Where each document begins, and after the last where that ends.
    begins: Vec<usize>,
    /// Documents longer than a window.
    long: Vec<u32>,
    /// Number of the first piece of each, and after the last that of all pieces.
    pieces: Vec<u64>,
    /// All other documents, the longest first; where they lie is a matter of their place here.
    short: Vec<u32>,
    /// The first place of each class of documents of about a length, and after the last that of all places.
    classes: Vec<u32>,
    /// Places by window: first what lies behind the rest of each long document, then windows of their own.
    bins: Bins,
}

impl DocumentOrder {
    /// The order for the documents of a shard, which has more than `seq_len` tokens.
    pub(crate) fn new(shard: &Shard, eos: TokenId, seq_len: usize, seed: u64) -> Self {
        let mut begins: Vec<usize> = shard.documents(eos).map(|document| document.start).collect();
        let n_documents = u32::try_from(begins.len()).expect("a shard has fewer than 2³² documents");
        begins.push(shard.len());
        let room = u32::try_from(seq_len).expect("a window has fewer than 2³² tokens");
        let len = |document: &u32| begins[*document as usize + 1] - begins[*document as usize];
        let class = |document: &u32| size_class(len(document) as u32).min(room);

        let (mut short, long): (Vec<u32>, Vec<u32>) = (0..n_documents).partition(|document| len(document) <= seq_len);
        short.sort_by_key(|document| Reverse(class(document)));
        let mut pieces = vec![0];
        for document in &long {
            pieces.push(pieces[pieces.len() - 1] + len(document).div_ceil(seq_len) as u64);
        }
        let mut classes = vec![0];
        for same in short.chunk_by(|a, b| class(a) == class(b)) {
            classes.push(classes[classes.len() - 1] + same.len() as u32);
        }
        let rooms = long.iter().map(|document| (len(document).next_multiple_of(seq_len) - len(document)) as u32);
        let bins = Bins::best_fit(rooms, short.iter().map(class), room);
        Self { seq_len, seed, begins, long, pieces, short, classes, bins }
    }

    pub(crate) fn windows_per_epoch(&self) -> u64 {
        self.n_pieces() + (self.bins.len() - self.long.len()) as u64
    }

    fn n_pieces(&self) -> u64 {
        self.pieces[self.long.len()]
    }

    pub(crate) fn window(&self, sequence: u64) -> Window {
        let windows = self.windows_per_epoch();
        let key = mix(self.seed, sequence / windows);
        let number = Permutation::new(windows, draw(key, Draw::Windows, 0)).apply(sequence % windows);
        let mut window = self.text(number, key);
        if number < self.n_pieces() {
            window[0].start -= self.left(&window);
        } else {
            self.fill(&mut window, draw(key, Draw::Filler, number));
        }
        // the token before the first that is predicted: eos, or the text that a piece goes on from
        window[0].start -= 1;
        window
    }

    /// What window `number` of an epoch is for: text that no other window of the epoch is for.
    fn text(&self, number: u64, key: u64) -> Window {
        if let Some(bin) = number.checked_sub(self.n_pieces()) {
            return self.documents_of_bin(self.long.len() + bin as usize, key).collect();
        }
        let long = self.pieces.partition_point(|first| *first <= number) - 1;
        let piece = self.piece(long, (number - self.pieces[long]) as usize, key);
        let bin = (piece.len() < self.seq_len).then_some(long);
        std::iter::once(piece).chain(bin.into_iter().flat_map(|bin| self.documents_of_bin(bin, key))).collect()
    }

    /// Tokens that a window is short of.
    fn left(&self, window: &[Range<usize>]) -> usize {
        self.seq_len - window.iter().map(Range::len).sum::<usize>()
    }

    fn document(&self, document: u32) -> Range<usize> {
        self.begins[document as usize]..self.begins[document as usize + 1]
    }

    /// A piece of a long document. All have a window's length but for one that has the rest: the last, where documents lie
    /// behind it, else any but the first.
    fn piece(&self, long: usize, piece: usize, key: u64) -> Range<usize> {
        let document = self.document(self.long[long]);
        let (whole, rest) = (document.len() / self.seq_len, document.len() % self.seq_len);
        let at = match rest > 0 && self.bins.items(long).is_empty() {
            true => 1 + draw(key, Draw::Cut, long as u64) as usize % whole,
            false => whole,
        };
        let start = document.start + piece * self.seq_len;
        match piece {
            _ if piece < at => start..start + self.seq_len,
            _ if piece == at => start..start + rest,
            _ => start + rest - self.seq_len..start + rest,
        }
    }

    /// The documents that lie in a bin in this epoch.
    fn documents_of_bin(&self, bin: usize, key: u64) -> impl Iterator<Item = Range<usize>> {
        let places = self.bins.items(bin);
        let order = Permutation::new(places.len() as u64, draw(key, Draw::Within, bin as u64));
        (0..places.len() as u64).map(move |at| self.document_at(places[order.apply(at) as usize], key))
    }

    /// The document that has a place in this epoch.
    fn document_at(&self, place: u32, key: u64) -> Range<usize> {
        let class = self.classes.partition_point(|first| *first <= place) - 1;
        let (first, end) = (self.classes[class], self.classes[class + 1]);
        let places = Permutation::new(u64::from(end - first), draw(key, Draw::Places, class as u64));
        self.document(self.short[first as usize + places.apply(u64::from(place - first)) as usize])
    }

    /// Fill what is left of a window with beginnings of documents.
    fn fill(&self, window: &mut Window, key: u64) {
        let n_documents = self.begins.len() as u64 - 1;
        let mut left = self.left(window);
        for number in 0.. {
            if left == 0 {
                return;
            }
            let Range { start, end } = self.document((mix(key, number) % n_documents) as u32);
            let len = left.min(end - start);
            window.push(start..start + len);
            left -= len;
        }
    }
}

/// A length rounded up to [`SIGNIFICANT_BITS`].
fn size_class(len: u32) -> u32 {
    let bits = u32::BITS - len.leading_zeros();
    len.next_multiple_of(1 << bits.saturating_sub(SIGNIFICANT_BITS))
}

#[cfg(test)]
mod tests;
