//! text → [`Document`]

use std::fmt;

use sha2::{Digest, Sha256};

/// One text that is never cut between training and validation.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    text: String,
    sha256: Sha256Digest,
    nats: Option<f64>,
}

impl Document {
    /// A document whose entropy is not known.
    pub fn new(text: String) -> Self {
        let sha256 = Sha256Digest::of(text.as_bytes());
        Self { text, sha256, nats: None }
    }

    /// A document whose author spent exactly `nats` on choosing it.
    pub fn with_nats(text: String, nats: f64) -> Self {
        Self { nats: Some(nats), ..Self::new(text) }
    }

    /// The text, never normalised.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Hash of the text's bytes.
    pub fn sha256(&self) -> Sha256Digest {
        self.sha256
    }

    /// Entropy of the text under its own author, where that is known: no model can spend less on average.
    pub fn nats(&self) -> Option<f64> {
        self.nats
    }
}

/// A SHA-256, printed in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// Hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Hash of the parts, each preceded by its length, so that no two lists of parts look alike.
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

    /// The hash as a fraction in [0, 1).
    pub(crate) fn fraction(&self) -> f64 {
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
        assert_eq!(Document::new("abc".into()).sha256().to_string(), expected);
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
