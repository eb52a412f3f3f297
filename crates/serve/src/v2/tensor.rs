//! Types of tensors, and their elements: in JSON, or as bytes in little-endian order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp32,
    Fp64,
    /// Texts: of bytes, a length in four bytes before each.
    Bytes,
}

impl Datatype {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    /// As Triton's configurations call it.
    pub fn in_config(self) -> &'static str {
        match self {
            Self::Bool => "TYPE_BOOL",
            Self::Uint8 => "TYPE_UINT8",
            Self::Uint16 => "TYPE_UINT16",
            Self::Uint32 => "TYPE_UINT32",
            Self::Uint64 => "TYPE_UINT64",
            Self::Int8 => "TYPE_INT8",
            Self::Int16 => "TYPE_INT16",
            Self::Int32 => "TYPE_INT32",
            Self::Int64 => "TYPE_INT64",
            Self::Fp32 => "TYPE_FP32",
            Self::Fp64 => "TYPE_FP64",
            Self::Bytes => "TYPE_STRING",
        }
    }

    /// Bytes of an element; `None` where that depends on it.
    fn size_bytes(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }

    /// The elements that `bytes` are. `None` where they are not whole elements of this type.
    pub fn read(self, mut bytes: &[u8]) -> Option<Vec<Value>> {
        let mut elements = vec![];
        if let Some(size) = self.size_bytes() {
            let whole = bytes.chunks_exact(size);
            return if whole.remainder().is_empty() {
                whole.map(|element| self.element(element)).collect()
            } else {
                None
            };
        }
        while !bytes.is_empty() {
            let (len, rest) = bytes.split_first_chunk()?;
            let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            elements.push(std::str::from_utf8(text).ok()?.into());
            bytes = rest;
        }
        Some(elements)
    }

    /// The element of fixed size that `bytes` are.
    fn element(self, bytes: &[u8]) -> Option<Value> {
        Some(match self {
            Self::Bool => match bytes {
                [0] => false.into(),
                [1] => true.into(),
                _ => return None,
            },
            Self::Uint8 => u8::from_le_bytes(bytes.try_into().ok()?).into(),
            Self::Uint16 => u16::from_le_bytes(bytes.try_into().ok()?).into(),
            Self::Uint32 => u32::from_le_bytes(bytes.try_into().ok()?).into(),
            Self::Uint64 => u64::from_le_bytes(bytes.try_into().ok()?).into(),
            Self::Int8 => i8::from_le_bytes(bytes.try_into().ok()?).into(),
            Self::Int16 => i16::from_le_bytes(bytes.try_into().ok()?).into(),
            Self::Int32 => i32::from_le_bytes(bytes.try_into().ok()?).into(),
            Self::Int64 => i64::from_le_bytes(bytes.try_into().ok()?).into(),
            Self::Fp32 => short(f32::from_le_bytes(bytes.try_into().ok()?))?,
            Self::Fp64 => finite(f64::from_le_bytes(bytes.try_into().ok()?))?,
            Self::Bytes => return None,
        })
    }

    /// The elements of `data`, a list whose lists count as their elements. `None` where one is not of this type.
    pub fn read_json(self, data: Value) -> Option<Vec<Value>> {
        fn flatten(value: Value, all: &mut Vec<Value>) {
            match value {
                Value::Array(items) => items.into_iter().for_each(|item| flatten(item, all)),
                value => all.push(value),
            }
        }
        let mut elements = vec![];
        data.is_array().then(|| flatten(data, &mut elements))?;
        elements.iter().all(|element| self.has(element)).then_some(elements)
    }

    fn has(self, element: &Value) -> bool {
        let least =
            |bits: u32| element.as_i64().is_some_and(|found| found >> (bits - 1) == 0 || found >> (bits - 1) == -1);
        let below = |bits: u32| element.as_u64().is_some_and(|found| found.checked_shr(bits).unwrap_or(0) == 0);
        match self {
            Self::Bool => element.is_boolean(),
            Self::Uint8 => below(8),
            Self::Uint16 => below(16),
            Self::Uint32 => below(32),
            Self::Uint64 => below(64),
            Self::Int8 => least(8),
            Self::Int16 => least(16),
            Self::Int32 => least(32),
            Self::Int64 => least(64),
            Self::Fp32 | Self::Fp64 => element.is_number(),
            Self::Bytes => element.is_string(),
        }
    }
}

/// The shortest number that rounds to `number`: a client that means 0.9 sends 0.899999976, and gets what 0.9 gives.
fn short(number: f32) -> Option<Value> {
    finite(number.to_string().parse().ok()?)
}

fn finite(number: f64) -> Option<Value> {
    number.is_finite().then(|| number.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_are_read_from_bytes() {
        let read = |datatype: Datatype, bytes: &[u8]| datatype.read(bytes).map(Value::from);
        assert_eq!(read(Datatype::Bool, &[0, 1]), Some(json!([false, true])));
        assert_eq!(read(Datatype::Bool, &[2]), None);
        assert_eq!(read(Datatype::Uint16, &[1, 2]), Some(json!([513])));
        assert_eq!(read(Datatype::Int8, &[255]), Some(json!([-1])));
        assert_eq!(read(Datatype::Int64, &(-5_i64).to_le_bytes()), Some(json!([-5])));
        assert_eq!(read(Datatype::Uint64, &u64::MAX.to_le_bytes()), Some(json!([u64::MAX])));
        assert_eq!(read(Datatype::Fp32, &0.9_f32.to_le_bytes()), Some(json!([0.9])), "as it was meant");
        assert_eq!(read(Datatype::Fp64, &0.1_f64.to_le_bytes()), Some(json!([0.1])));
        for number in [f32::NAN, f32::INFINITY] {
            assert_eq!(read(Datatype::Fp32, &number.to_le_bytes()), None);
        }
        assert_eq!(read(Datatype::Int32, &[1, 2, 3]), None);
        assert_eq!(read(Datatype::Int32, &[]), Some(json!([])));
        assert_eq!(read(Datatype::Bytes, b"\x02\0\0\0ab\0\0\0\0"), Some(json!(["ab", ""])));
        for wrong in [&b"\x03\0\0\0ab"[..], b"\x02\0\0", b"\x01\0\0\0\xff", b"\xff\xff\xff\xffab"] {
            assert_eq!(read(Datatype::Bytes, wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn elements_are_read_from_json() {
        let read = |datatype: Datatype, data: Value| datatype.read_json(data).map(Value::from);
        assert_eq!(read(Datatype::Bytes, json!([["a"], ["b"]])), Some(json!(["a", "b"])));
        assert_eq!(read(Datatype::Int8, json!([-128, 127])), Some(json!([-128, 127])));
        assert_eq!(read(Datatype::Uint64, json!([u64::MAX])), Some(json!([u64::MAX])));
        assert_eq!(read(Datatype::Int64, json!([i64::MIN, i64::MAX])), Some(json!([i64::MIN, i64::MAX])));
        for (datatype, wrong) in [
            (Datatype::Bytes, json!("a")),
            (Datatype::Bytes, json!([1])),
            (Datatype::Bool, json!([1])),
            (Datatype::Int8, json!([128])),
            (Datatype::Int8, json!([-129])),
            (Datatype::Uint8, json!([256])),
            (Datatype::Uint32, json!([-1])),
            (Datatype::Uint32, json!([1.5])),
            (Datatype::Int64, json!([u64::MAX])),
            (Datatype::Fp32, json!(["1"])),
            (Datatype::Fp64, json!({})),
        ] {
            assert_eq!(read(datatype, wrong.clone()), None, "{datatype:?} {wrong}");
        }
    }
}
