//! take → an operator writes it → Burn's tensors share it → the last owner gives it back
//!
//! Storage for outputs, gradients and saved values. A large block fresh from the system costs a page fault every
//! 4 KiB, and an allocator returns large blocks as soon as they are freed; here they stay, sorted by length.
//!
//! What the pool may hoard is bounded by two rules. It takes back no more buffers of a length than it lent, so memory
//! that others allocated does not pile up here. And [`trim`] frees what nobody needed since the trim before: the
//! adapter calls it whenever nothing is saved for a backward pass any more, the end of a training step, and
//! without training after every [`TAKES_PER_TRIM`] buffers.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

/// Shorter buffers (16 KiB) come from the heap without a page fault; pooling them gains nothing.
const SHORTEST: usize = 4096;

/// Buffers lent between two trims of a process that does not train.
pub(crate) const TAKES_PER_TRIM: usize = 4096;

#[derive(Default)]
struct Shelf {
    free: Vec<Vec<f32>>,
    /// Buffers that were taken and may come back.
    lent: usize,
    /// The fewest that were free at any time since the last trim: so many were not needed.
    idle: usize,
    taken_since_trim: bool,
}

#[derive(Default)]
struct Pool {
    shelves: HashMap<usize, Shelf>,
    takes_since_trim: usize,
}

fn pool() -> MutexGuard<'static, Pool> {
    static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A buffer of `len` elements with arbitrary contents: write every element before reading any.
pub(crate) fn take(len: usize) -> Vec<f32> {
    if len >= SHORTEST {
        let mut pool = pool();
        pool.takes_since_trim += 1;
        let shelf = pool.shelves.entry(len).or_default();
        shelf.lent += 1;
        shelf.taken_since_trim = true;
        let found = shelf.free.pop();
        shelf.idle = shelf.idle.min(shelf.free.len());
        if let Some(buffer) = found {
            return buffer;
        }
    }
    let mut fresh = vec![0.0; len];
    itera_kernels::memory::prefer_huge(&mut fresh);
    fresh
}

/// Let a later [`take`] of the same length have `buffer`, or free it where the pool did not lend one.
pub(crate) fn give(buffer: Vec<f32>) {
    if buffer.len() < SHORTEST || buffer.capacity() != buffer.len() {
        return;
    }
    if let Some(shelf) = pool().shelves.get_mut(&buffer.len())
        && shelf.lent > 0
    {
        shelf.lent -= 1;
        shelf.free.push(buffer);
    }
}

/// Free every buffer that lay here unused since the last trim.
pub(crate) fn trim() {
    let mut pool = pool();
    pool.takes_since_trim = 0;
    pool.shelves.retain(|_, shelf| {
        // the last one in is the first one out, so those that were not needed are the first
        shelf.free.drain(..shelf.idle);
        shelf.idle = shelf.free.len();
        !shelf.free.is_empty() || std::mem::take(&mut shelf.taken_since_trim)
    });
}

/// [`trim`] if more than [`TAKES_PER_TRIM`] buffers were lent since the last.
pub(crate) fn trim_now_and_then() {
    if pool().takes_since_trim > TAKES_PER_TRIM {
        trim();
    }
}

/// The buffers and the count of what is saved are one a process, and a harness may run tests as threads of one:
/// a test that looks at them holds this.
#[cfg(test)]
pub(crate) fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    clear();
    guard
}

/// Free everything that lies here.
#[cfg(test)]
pub(crate) fn clear() {
    pool().shelves.clear();
}

/// Bytes that lie here unused.
#[cfg(test)]
pub(crate) fn free_bytes() -> usize {
    pool().shelves.iter().map(|(len, shelf)| len * shelf.free.len() * size_of::<f32>()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = SHORTEST + 17;

    #[test]
    fn a_buffer_that_was_given_back_is_lent_again() {
        let _alone = alone();
        let first = take(LEN);
        let address = first.as_ptr().addr();
        give(first);
        assert_eq!(free_bytes(), LEN * 4);
        let other = take(LEN + 1);
        assert_ne!(other.as_ptr().addr(), address);
        let again = take(LEN);
        assert_eq!((again.as_ptr().addr(), again.len(), free_bytes()), (address, LEN, 0));
    }

    #[test]
    fn what_was_not_lent_is_not_kept() {
        let _alone = alone();
        give(vec![0.0; LEN]);
        assert_eq!(free_bytes(), 0);
        let lent = take(LEN);
        give(vec![0.0; LEN]);
        give(lent);
        assert_eq!(free_bytes(), LEN * 4, "one was lent, two came back");
    }

    #[test]
    fn a_trim_frees_what_lay_unused_since_the_trim_before() {
        let _alone = alone();
        let [a, b] = [take(LEN), take(LEN)];
        let other = take(2 * LEN);
        [a, b, other].into_iter().for_each(give);
        trim();
        assert_eq!(free_bytes(), 4 * LEN * 4, "all three were in use before the trim");
        give(take(LEN));
        trim();
        assert_eq!(free_bytes(), LEN * 4, "one of them was in use after it");
        trim();
        assert_eq!(free_bytes(), 0);
    }

    #[test]
    fn short_buffers_are_left_to_the_heap() {
        let _alone = alone();
        give(take(SHORTEST - 1));
        give(take(0));
        assert_eq!(free_bytes(), 0);
        assert_eq!(take(3).len(), 3);
    }
}
