//! IEEE binary16 in two bytes.

/// The value of a binary16, exactly.
#[inline(always)]
pub(crate) fn widen(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff);
    // with exponent and significand in the fields of an f32, the exponent is too small by 127 − 15 = 112
    let normal = f32::from_bits((magnitude << 13) + (112 << 23)).to_bits();
    // infinity and NaN: the largest exponent of f32 instead
    let special = normal + (112 << 23);
    // below 2⁻¹⁴ the significand counts steps of 2⁻²⁴
    let subnormal = (magnitude as f32 * (1.0 / 16_777_216.0)).to_bits();
    let value = if magnitude < 0x0400 { subnormal } else { normal };
    f32::from_bits(sign | if magnitude >= 0x7c00 { special } else { value })
}

/// The binary16 nearest to `x`, ties to even; what overflows becomes infinite, a NaN stays one.
pub(super) fn narrow(x: f32) -> u16 {
    half::f16::from_f32(x).to_bits()
}

/// The binary16 at the start of `bytes`, as f32.
#[inline(always)]
pub(super) fn read(bytes: &[u8]) -> f32 {
    widen(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// Round `x` into the first two of `bytes`.
pub(super) fn write(x: f32, bytes: &mut [u8]) {
    bytes[..2].copy_from_slice(&narrow(x).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_binary16_has_its_value_and_keeps_it() {
        for bits in 0..=u16::MAX {
            let (exponent, significand) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
            let magnitude = match exponent {
                0 => significand * 2f64.powi(-24),
                31 if significand == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (1024.0 + significand) * 2f64.powi(exponent - 25),
            };
            let expected = if bits >> 15 == 1 { -magnitude } else { magnitude } as f32;
            let value = widen(bits);
            if expected.is_nan() {
                assert!(value.is_nan() && widen(narrow(value)).is_nan(), "{bits:#06x}");
            } else {
                assert_eq!(value.to_bits(), expected.to_bits(), "{bits:#06x}");
                assert_eq!(narrow(value), bits);
            }
        }
    }
}
