//! Memory that grows to the largest size asked for, once.

/// The first `len` numbers of a buffer that grows to that length once.
pub(crate) fn sized<T: Clone + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.reserve_exact(len - buffer.len());
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}

/// Bytes of the heap that a buffer holds.
pub(crate) fn bytes<T>(buffer: &Vec<T>) -> usize {
    size_of::<T>() * buffer.capacity()
}
