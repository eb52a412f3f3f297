//! Activations that backward reads: as they were, or rounded to bfloat16 at half the memory.
//!
//! ```text
//! forward   f32, or a block of it rounded while it lies in cache │ backward   in place, or a block widened into cache
//! ```

use std::ops::Range;

use rayon::prelude::*;

use crate::{bf16, simd};

/// Numbers to read.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'a> {
    /// The numbers themselves.
    F32(&'a [f32]),
    /// The upper halves of numbers that were rounded.
    Bf16(&'a [u16]),
}

impl<'a> From<&'a [f32]> for Stored<'a> {
    fn from(numbers: &'a [f32]) -> Self {
        Self::F32(numbers)
    }
}

impl<'a> Stored<'a> {
    /// How many there are.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::Bf16(numbers) => numbers.len(),
        }
    }

    /// Number `i`.
    #[inline(always)]
    pub(crate) fn at(self, i: usize) -> f32 {
        match self {
            Self::F32(numbers) => numbers[i],
            Self::Bf16(numbers) => bf16::wide(numbers[i]),
        }
    }

    /// Some of them.
    #[inline(always)]
    pub(crate) fn range(self, range: Range<usize>) -> Self {
        match self {
            Self::F32(numbers) => Self::F32(&numbers[range]),
            Self::Bf16(numbers) => Self::Bf16(&numbers[range]),
        }
    }

    /// The first `len`, and the rest.
    pub(crate) fn split_at(self, len: usize) -> (Self, Self) {
        (self.range(0..len), self.range(len..self.len()))
    }

    /// Cut off the first `len`.
    pub(crate) fn take(&mut self, len: usize) -> Self {
        let (first, rest) = self.split_at(len);
        *self = rest;
        first
    }

    /// Parts of `len` numbers, the last one shorter, over all threads.
    pub(crate) fn par_chunks(self, len: usize) -> impl IndexedParallelIterator<Item = Self> {
        let part = move |i: usize| self.range(i * len..self.len().min((i + 1) * len));
        (0..self.len().div_ceil(len)).into_par_iter().map(part)
    }

    /// Elements of the buffer that [`read`](Self::read) needs for `len` numbers.
    pub(crate) fn buffer_len(self, len: usize) -> usize {
        match self {
            Self::F32(_) => 0,
            Self::Bf16(_) => len,
        }
    }

    /// The numbers in place, or widened into `buffer`.
    pub(crate) fn read<'b>(self, buffer: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        match self {
            Self::F32(numbers) => numbers,
            Self::Bf16(numbers) => {
                let wide = &mut buffer[..numbers.len()];
                bf16::widen_part(numbers, wide);
                wide
            }
        }
    }

    /// Ask for their cache lines, which will be read soon.
    #[inline(always)]
    pub(crate) fn prefetch(self) {
        match self {
            Self::F32(numbers) => simd::prefetch(numbers),
            Self::Bf16(numbers) => simd::prefetch(numbers),
        }
    }

    /// Write them to `numbers`.
    #[inline(always)]
    pub(crate) fn copy_to(self, numbers: &mut [f32]) {
        match self {
            Self::F32(stored) => numbers.copy_from_slice(stored),
            Self::Bf16(stored) => bf16::widen_part(stored, numbers),
        }
    }
}

/// Where numbers are to be stored.
#[derive(Debug)]
pub enum StoredMut<'a> {
    /// As they are.
    F32(&'a mut [f32]),
    /// Rounded.
    Bf16(&'a mut [u16]),
}

impl<'a> StoredMut<'a> {
    /// How many fit.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::Bf16(numbers) => numbers.len(),
        }
    }

    /// Room for the first `len`, and for the rest.
    pub(crate) fn split_at(self, len: usize) -> (Self, Self) {
        match self {
            Self::F32(numbers) => {
                let (first, rest) = numbers.split_at_mut(len);
                (Self::F32(first), Self::F32(rest))
            }
            Self::Bf16(numbers) => {
                let (first, rest) = numbers.split_at_mut(len);
                (Self::Bf16(first), Self::Bf16(rest))
            }
        }
    }

    /// Cut off room for the first `len` of `free`, if there is any, which keeps the rest.
    pub(crate) fn take(free: &mut Option<Self>, len: usize) -> Option<Self> {
        let (first, rest) = free.take()?.split_at(len);
        *free = Some(rest);
        Some(first)
    }

    /// Elements of the buffer that [`write`](Self::write) needs.
    pub(crate) fn buffer_len(&self) -> usize {
        match self {
            Self::F32(_) => 0,
            Self::Bf16(numbers) => numbers.len(),
        }
    }

    /// Store the numbers that `fill` writes, in place or into `buffer`; `read` sees them before they are rounded.
    pub(crate) fn write(self, buffer: &mut [f32], fill: impl FnOnce(&mut [f32])) {
        match self {
            Self::F32(numbers) => fill(numbers),
            Self::Bf16(numbers) => {
                let wide = &mut buffer[..numbers.len()];
                fill(wide);
                bf16::narrow_part(wide, numbers);
            }
        }
    }
}
