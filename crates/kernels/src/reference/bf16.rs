//! bfloat16 by the definition of rounding.

/// Twin of [`narrow`](crate::bf16::narrow) for a number that is not NaN: of the two neighbours the nearer, of two
/// equally near the one whose last bit is 0. The number after the largest is 2¹²⁸, and stands for infinity.
pub fn bf16(x: f32) -> u16 {
    let value = |upper: u16| {
        let x = f64::from(f32::from_bits(u32::from(upper) << 16));
        if x.is_infinite() { 2f64.powi(128).copysign(x) } else { x }
    };
    let towards_zero = (x.to_bits() >> 16) as u16;
    if x.is_infinite() {
        return towards_zero;
    }
    let away = towards_zero + 1;
    let (low, high) = ((f64::from(x) - value(towards_zero)).abs(), (f64::from(x) - value(away)).abs());
    match low.total_cmp(&high) {
        std::cmp::Ordering::Less => towards_zero,
        std::cmp::Ordering::Greater => away,
        std::cmp::Ordering::Equal => towards_zero + (towards_zero & 1),
    }
}
