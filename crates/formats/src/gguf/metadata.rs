//! keys and values → bytes, in the order in which they are given.

use super::value::{ARRAY, Type};

/// The metadata of a file that is being written.
#[derive(Default)]
pub(super) struct Metadata {
    pub(super) n_entries: u64,
    pub(super) bytes: Vec<u8>,
}

impl Metadata {
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key, Type::Text);
        put_text(&mut self.bytes, value);
    }

    /// A number below 2³², as sizes and ids are.
    pub(super) fn size(&mut self, key: &str, value: usize) {
        self.key(key, Type::U32);
        let value = u32::try_from(value).expect("sizes of a valid model fit 32 bits");
        self.bytes.extend(value.to_le_bytes());
    }

    pub(super) fn number(&mut self, key: &str, value: f32) {
        self.key(key, Type::F32);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.key(key, Type::Bool);
        self.bytes.push(value.into());
    }

    pub(super) fn integers(&mut self, key: &str, values: &[i32]) {
        self.array(key, Type::I32, values.len());
        self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    pub(super) fn texts(&mut self, key: &str, values: &[impl AsRef<str>]) {
        self.array(key, Type::Text, values.len());
        values.iter().for_each(|value| put_text(&mut self.bytes, value.as_ref()));
    }

    fn key(&mut self, key: &str, kind: Type) {
        self.n_entries += 1;
        put_text(&mut self.bytes, key);
        self.bytes.extend((kind as u32).to_le_bytes());
    }

    fn array(&mut self, key: &str, item: Type, len: usize) {
        self.n_entries += 1;
        put_text(&mut self.bytes, key);
        self.bytes.extend(ARRAY.to_le_bytes());
        self.bytes.extend((item as u32).to_le_bytes());
        self.bytes.extend((len as u64).to_le_bytes());
    }
}

/// Appends the length of a text, and the text.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
