//! Memory that a task needs for a moment, kept by its thread for the next task.

use std::cell::RefCell;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Floats in a cache line: a vector load that begins on one touches no second.
const LINE: usize = 16;

/// Call `f` with `len` floats, from the start of a cache line on, whose contents are whatever was left there.
///
/// Calls nest: an inner one gets other memory.
pub(crate) fn with<T>(len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    let padded = len + LINE;
    if buffer.len() < padded {
        buffer.resize(padded, 0.0);
    }
    let start = buffer.as_ptr().align_offset(LINE * size_of::<f32>());
    let result = f(&mut buffer[start..][..len]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}

/// [`with`] several parts, each from the start of a cache line on.
pub(crate) fn with_parts<T, const N: usize>(lens: [usize; N], f: impl FnOnce([&mut [f32]; N]) -> T) -> T {
    with(lens.iter().map(|len| len.next_multiple_of(LINE)).sum(), |memory| {
        let mut rest = memory;
        f(lens.map(|len| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(len.next_multiple_of(LINE));
            rest = after;
            &mut part[..len]
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_length_and_begins_a_line() {
        for lens in [[1, 17, 0], [16, 100, 3]] {
            with_parts(lens, |parts| {
                for (part, len) in parts.iter().zip(lens) {
                    assert_eq!(part.len(), len);
                    assert!(part.as_ptr().addr().is_multiple_of(64));
                }
            });
        }
    }

    #[test]
    fn nested_calls_get_other_memory() {
        with(4, |outer| {
            outer.fill(1.0);
            with(4, |inner| inner.fill(2.0));
            assert_eq!(outer, [1.0; 4]);
        });
    }
}
