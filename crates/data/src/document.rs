//! text → [`Document`]

use itera_files::Sha256Digest;

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
