//! vectors, stored in some bits a number → the nearest of them to a query.
//!
//! ```text
//! f32       dot products                                  4·d bytes a vector
//! int8      dot products of whole numbers                 d
//! binary    bits that differ                              d/8
//! rescored  bits that differ → the nearest 10·k of them → int8 vectors · query in f32        d/8 in the scan, d beside it
//! ```
//!
//! Every vector is looked at. Of equally near ones the first in the list comes first.

use std::cmp::Ordering;

use serde::Serialize;

use crate::{
    codes::{binary_bytes, to_binary, to_int8},
    squares,
};

/// How many times as many vectors are rescored as are asked for.
const RESCORED: usize = 10;

/// In what vectors are kept and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// As they are.
    F32,
    /// Whole numbers of −127..=127.
    Int8,
    /// A bit a number.
    Binary,
    /// A bit a number, the nearest by it compared again in int8 with the query in f32.
    BinaryRescored,
}

impl Storage {
    /// Every storage, the widest first.
    pub const ALL: [Self; 4] = [Self::F32, Self::Int8, Self::Binary, Self::BinaryRescored];

    /// As people read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
            Self::Binary => "binary",
            Self::BinaryRescored => "binary + rescoring",
        }
    }

    /// Bytes of a vector of `dims` numbers, all that is kept of it.
    pub fn vector_bytes(self, dims: usize) -> usize {
        match self {
            Self::F32 => 4 * dims,
            Self::Int8 => dims,
            Self::Binary => binary_bytes(dims),
            Self::BinaryRescored => dims + binary_bytes(dims),
        }
    }
}

/// Vectors to look among.
#[derive(Clone, Debug)]
pub struct Index {
    storage: Storage,
    dims: usize,
    len: usize,
    /// Of f32 alone.
    numbers: Vec<f32>,
    /// Of int8, and what is rescored.
    codes: Vec<i8>,
    /// 1 over the length of each row of codes.
    inverse_lengths: Vec<f32>,
    /// Bits in whole words.
    words: Vec<u64>,
}

impl Index {
    /// Keeps vectors [n, dims], which are normalised.
    ///
    /// # Panics
    /// If `dims` is 0 or the vectors are not whole.
    pub fn new(storage: Storage, vectors: &[f32], dims: usize) -> Self {
        assert!(dims > 0 && vectors.len().is_multiple_of(dims), "vectors of {dims} numbers");
        let len = vectors.len() / dims;
        let mut index =
            Self { storage, dims, len, numbers: vec![], codes: vec![], inverse_lengths: vec![], words: vec![] };
        if storage == Storage::F32 {
            index.numbers = vectors.to_vec();
        }
        if matches!(storage, Storage::Int8 | Storage::BinaryRescored) {
            index.codes = vec![0; vectors.len()];
            for (vector, codes) in vectors.chunks_exact(dims).zip(index.codes.chunks_exact_mut(dims)) {
                to_int8(vector, codes);
                let wide: Vec<f32> = codes.iter().map(|code| f32::from(*code)).collect();
                index.inverse_lengths.push(squares(&wide).sqrt().max(1.0).recip() as f32);
            }
        }
        if matches!(storage, Storage::Binary | Storage::BinaryRescored) {
            index.words = vectors.chunks_exact(dims).flat_map(words).collect();
        }
        index
    }

    /// The `k` nearest vectors to `query`, the nearest first; all if there are fewer.
    ///
    /// # Panics
    /// If the query has another length.
    pub fn nearest(&self, query: &[f32], k: usize) -> Vec<usize> {
        assert_eq!(query.len(), self.dims, "numbers of a query");
        match self.storage {
            Storage::F32 => {
                let rows = self.numbers.chunks_exact(self.dims);
                first(k, rows.map(|row| -dot(row, query)), f32::total_cmp)
            }
            Storage::Int8 => {
                let mut codes = vec![0; self.dims];
                to_int8(query, &mut codes);
                let rows = self.codes.chunks_exact(self.dims).zip(&self.inverse_lengths);
                first(k, rows.map(|(row, inverse)| -(dot_int8(row, &codes) as f32) * inverse), f32::total_cmp)
            }
            Storage::Binary => self.likest_bits(query, k),
            Storage::BinaryRescored => {
                let mut some = self.likest_bits(query, k.saturating_mul(RESCORED));
                some.sort_unstable();
                let distance = |index: &usize| {
                    let row = &self.codes[index * self.dims..][..self.dims];
                    let dot: f32 = row.iter().zip(query).map(|(code, x)| f32::from(*code) * x).sum();
                    -dot * self.inverse_lengths[*index]
                };
                first(k, some.iter().map(distance), f32::total_cmp).into_iter().map(|at| some[at]).collect()
            }
        }
    }

    fn likest_bits(&self, query: &[f32], k: usize) -> Vec<usize> {
        let query: Vec<u64> = words(query).collect();
        let rows = self.words.chunks_exact(query.len());
        let differing = rows.map(|row| row.iter().zip(&query).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>());
        first(k, differing, u32::cmp)
    }

    /// Vectors in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The bits of a vector in words, those beyond its end 0.
fn words(vector: &[f32]) -> impl Iterator<Item = u64> {
    vector.chunks(64).map(|numbers| {
        let mut bytes = [0; 8];
        to_binary(numbers, &mut bytes[..binary_bytes(numbers.len())]);
        u64::from_be_bytes(bytes)
    })
}

/// Where the `k` least of `distances` are, least first, the first of equals first.
fn first<T: Copy>(k: usize, distances: impl Iterator<Item = T>, order: fn(&T, &T) -> Ordering) -> Vec<usize> {
    let mut all: Vec<(T, usize)> = distances.zip(0..).collect();
    let by = |a: &(T, usize), b: &(T, usize)| order(&a.0, &b.0).then(a.1.cmp(&b.1));
    if k < all.len() {
        all.select_nth_unstable_by(k, by);
        all.truncate(k);
    }
    all.sort_unstable_by(by);
    all.into_iter().map(|(_, index)| index).collect()
}

/// Lanes of partial sums, so that additions of f32 need not wait for each other.
const LANES: usize = 16;

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

fn dot_int8(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(i16::from(*a) * i16::from(*b))).sum()
}

#[cfg(test)]
mod tests {
    use itera_testkit::uniform;

    use super::*;
    use crate::{cosine, normalize, prefixes};

    fn vectors(n: usize, d: usize, seed: u64) -> Vec<f32> {
        prefixes(&uniform(n * d, -1.0, 1.0, seed), d, d)
    }

    #[test]
    fn f32_finds_the_likest_by_cosine() {
        for d in [1, 15, 16, 17, 100] {
            let all = vectors(60, d, 1);
            let index = Index::new(Storage::F32, &all, d);
            let query = &vectors(1, d, 2);
            let mut order: Vec<usize> = (0..60).collect();
            order.sort_by(|a, b| cosine(&all[b * d..][..d], query).total_cmp(&cosine(&all[a * d..][..d], query)));
            let found = index.nearest(query, 7);
            assert_eq!(found.len(), 7);
            for (found, expected) in found.iter().zip(order) {
                let [found, expected] = [*found, expected].map(|at| cosine(&all[at * d..][..d], query));
                assert!((found - expected).abs() < 1e-6, "{d}");
            }
        }
    }

    #[test]
    fn every_storage_finds_a_vector_that_is_there_and_keeps_most_of_its_neighbours() {
        let (n, d) = (500, 128);
        let all = vectors(n, d, 1);
        let exact = Index::new(Storage::F32, &all, d);
        for (storage, least) in [(Storage::Int8, 0.95), (Storage::Binary, 0.25), (Storage::BinaryRescored, 0.85)] {
            let index = Index::new(storage, &all, d);
            assert_eq!((index.len(), index.is_empty()), (n, false));
            assert_eq!(index.nearest(&all[17 * d..][..d], 1), [17], "{storage:?}");
            let mut kept = 0;
            for seed in 0..40 {
                let query = vectors(1, d, 100 + seed);
                let expected = exact.nearest(&query, 10);
                kept += index.nearest(&query, 10).iter().filter(|found| expected.contains(found)).count();
            }
            assert!(kept as f64 / 400.0 > least, "{storage:?} keeps {kept} of 400");
        }
    }

    #[test]
    fn equals_come_in_their_order_and_more_than_there_are_is_all() {
        let mut one = [1.0, 2.0, 3.0];
        normalize(&mut one);
        let all = one.repeat(5);
        for storage in Storage::ALL {
            let index = Index::new(storage, &all, 3);
            assert_eq!(index.nearest(&one, 3), [0, 1, 2], "{storage:?}");
            assert_eq!(index.nearest(&one, 9), [0, 1, 2, 3, 4], "{storage:?}");
            assert!(Index::new(storage, &[], 3).nearest(&one, 2).is_empty());
        }
    }
}
