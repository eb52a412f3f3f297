//! bytes → SHA-256

use std::{
    fmt,
    io::{self, Read},
};

use sha2::{Digest, Sha256};

/// A SHA-256 (FIPS 180-4), printed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hash of all that is left to read of `from`, and how many bytes that was; a piece of it is in memory at a time.
    ///
    /// # Errors
    /// If `from` cannot be read to its end.
    pub fn of_reader(mut from: impl Read) -> io::Result<(Self, u64)> {
        let mut hasher = Sha256::new();
        let size_bytes = io::copy(&mut from, &mut hasher)?;
        Ok((Self(hasher.finalize().into()), size_bytes))
    }

    /// The hash of the parts, each preceded by its length in eight bytes, so that no two lists of parts look alike.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 53 bits as a fraction in [0, 1).
    pub fn fraction(&self) -> f64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        (u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256Digest::of(b"abc").to_string(), expected);
        let (digest, size_bytes) = Sha256Digest::of_reader(&b"abc"[..]).expect("read");
        assert_eq!((digest.to_string().as_str(), size_bytes), (expected, 3));
    }

    #[test]
    fn moving_a_byte_between_parts_changes_the_hash() {
        let hash = |parts: [&str; 2]| Sha256Digest::of_parts(parts.map(str::as_bytes));
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
    }

    #[test]
    fn fractions_fill_the_unit_interval_evenly() {
        let fractions: Vec<f64> = (0..2000u32).map(|i| Sha256Digest::of(&i.to_le_bytes()).fraction()).collect();
        assert!(fractions.iter().all(|f| (0.0..1.0).contains(f)));
        let mean = fractions.iter().sum::<f64>() / 2000.0;
        assert!((mean - 0.5).abs() < 0.03, "{mean}");
    }
}
