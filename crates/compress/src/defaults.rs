//! What a key is when it is left out, and when it is left out again.

/// 1, of what there is one of unless there are more.
pub(crate) fn one() -> usize {
    1
}

pub(crate) fn is_one(number: &usize) -> bool {
    *number == 1
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
