//! numbers ⇄ bytes that processes send to each other, to the bit

/// Bytes of numbers, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

/// Numbers of bytes that a [`Writer`] of the same program wrote.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Writer {
    pub(crate) fn count(&mut self, count: u64) {
        self.0.extend(count.to_le_bytes());
    }

    pub(crate) fn float(&mut self, float: f64) {
        self.count(float.to_bits());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    pub(crate) fn optional(&mut self, float: Option<f64>) {
        self.count(float.is_some().into());
        self.float(float.unwrap_or_default());
    }
}

/// `None` where the bytes end.
impl Reader<'_> {
    pub(crate) fn count(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*word))
    }

    pub(crate) fn float(&mut self) -> Option<f64> {
        self.count().map(f64::from_bits)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let len = self.count()?;
        self.bytes(len as usize).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&[u8]> {
        self.0.split_off(..len)
    }

    pub(crate) fn optional(&mut self) -> Option<Option<f64>> {
        let is_some = self.count()? > 0;
        self.float().map(|float| Some(float).filter(|_| is_some))
    }
}

/// Append numbers to bytes.
pub(crate) fn extend(bytes: &mut Vec<u8>, numbers: &[f32]) {
    let end = bytes.len();
    bytes.resize(end + size_of_val(numbers), 0);
    for (bytes, number) in bytes[end..].as_chunks_mut().0.iter_mut().zip(numbers) {
        *bytes = number.to_le_bytes();
    }
}

/// The numbers of bytes.
pub(crate) fn numbers(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}
