//! A vector in 8 bits a number, or in one.

/// Rounds a vector to whole numbers of −127..=127, its largest magnitude to 127. Its direction is kept, its length is not.
///
/// # Panics
/// If the lengths differ.
pub fn to_int8(vector: &[f32], codes: &mut [i8]) {
    assert_eq!(vector.len(), codes.len(), "a code a number");
    let largest = vector.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
    let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    for (x, code) in vector.iter().zip(codes) {
        *code = (x * scale).round() as i8;
    }
}

/// Bytes of a vector of `dims` bits.
pub fn binary_bytes(dims: usize) -> usize {
    dims.div_ceil(8)
}

/// A bit a number, 1 for those above 0, the first in the highest bit of the first byte, as numpy's `packbits` lays them; bits
/// beyond the last number are 0.
///
/// # Panics
/// If `bits` is not as many bytes as [`binary_bytes`] says.
pub fn to_binary(vector: &[f32], bits: &mut [u8]) {
    assert_eq!(bits.len(), binary_bytes(vector.len()), "a bit a number");
    for (x, byte) in vector.chunks(8).zip(bits) {
        *byte = x.iter().enumerate().map(|(at, x)| u8::from(*x > 0.0) << (7 - at)).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_the_nearest_and_zeros_stay() {
        let mut codes = [9; 4];
        to_int8(&[0.5, -1.0, 0.25, 0.002], &mut codes);
        assert_eq!(codes, [64, -127, 32, 0]);
        to_int8(&[0.0; 4], &mut codes);
        assert_eq!(codes, [0; 4]);
    }

    #[test]
    fn bits_lie_as_numpy_packs_them() {
        let mut bits = [0xff; 2];
        to_binary(&[1.0, -1.0, 0.0, 2.0, -0.0, 1.0, 1.0, -3.0, 0.1, -0.1], &mut bits);
        // numpy.packbits([1, 0, 0, 1, 0, 1, 1, 0, 1, 0])
        assert_eq!(bits, [0b1001_0110, 0b1000_0000]);
    }
}
