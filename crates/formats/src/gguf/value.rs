//! The values that metadata may have.
//!
//! ```text
//! [u32: type] [value]      an array: [u32: type of its items] [u64: how many] [items]      a text: [u64: bytes] [UTF-8]
//! ```

use std::fmt;

use super::cursor::Cursor;
use crate::{error::Result, problem::GgufProblem};

/// A value in the metadata of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// An unsigned integer of 8 to 64 bits.
    Unsigned(u64),
    /// A signed integer of 8 to 64 bits.
    Signed(i64),
    /// A number of 32 or 64 bits.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// A text.
    Text(&'a str),
    /// A list of values of one type, none of them a list.
    Array(Array<'a>),
}

/// A list of values of one type, still as it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Array<'a> {
    item: Type,
    len: usize,
    bytes: &'a [u8],
}

/// Types of single values; the discriminants are those in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    Text = 8,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

/// Marks an array where a [`Type`] may stand.
pub(super) const ARRAY: u32 = 9;

/// Characters of a long text, and items of a long array, that are shown.
const SHOWN: usize = 60;

impl Type {
    const ALL: [Self; 12] = {
        use Type::*;
        [U8, I8, U16, I16, U32, I32, F32, Bool, Text, U64, I64, F64]
    };

    fn of(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == code)
    }

    /// Bytes of a value; for a text, of its length field.
    fn min_bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::Text | Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The value of this type that a field holds.
    fn read<'a>(self, cursor: &mut Cursor<'a>, field: impl fmt::Display) -> Result<Value<'a>> {
        if self == Self::Text {
            return cursor.text(field).map(Value::Text);
        }
        let offset = cursor.offset();
        let bytes = cursor.take(self.min_bytes(), &field)?;
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let unsigned = u64::from_le_bytes(wide);
        // the sign is the highest bit of the type, whatever its width
        let unused_bits = 64 - 8 * bytes.len() as u32;
        Ok(match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => Value::Unsigned(unsigned),
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => {
                Value::Signed((unsigned << unused_bits) as i64 >> unused_bits)
            }
            Self::F32 => Value::Float(f32::from_bits(unsigned as u32).into()),
            Self::F64 => Value::Float(f64::from_bits(unsigned)),
            Self::Bool if unsigned <= 1 => Value::Flag(unsigned == 1),
            Self::Bool => return Err(cursor.invalid(field, offset, GgufProblem::Flag(unsigned))),
            Self::Text => unreachable!("read above"),
        })
    }
}

impl<'a> Value<'a> {
    /// The value of the metadata entry `key`, its type before it.
    pub(super) fn read(cursor: &mut Cursor<'a>, key: &str) -> Result<Self> {
        let field = format_args!("`{key}`");
        match read_type(cursor, key)? {
            Some(kind) => kind.read(cursor, field),
            None => {
                let offset = cursor.offset();
                let Some(item) = read_type(cursor, key)? else {
                    return Err(cursor.invalid(field, offset, GgufProblem::Nested));
                };
                Array::read(cursor, item, key).map(Value::Array)
            }
        }
    }

    /// The whole number that this is, of whichever type.
    pub fn as_size(&self) -> Option<usize> {
        match *self {
            Self::Unsigned(number) => number.try_into().ok(),
            Self::Signed(number) => number.try_into().ok(),
            _ => None,
        }
    }
}

/// The type of a value; none stands for an array.
fn read_type(cursor: &mut Cursor<'_>, key: &str) -> Result<Option<Type>> {
    let offset = cursor.offset();
    match cursor.u32(format_args!("the type of `{key}`"))? {
        ARRAY => Ok(None),
        code => Type::of(code)
            .map(Some)
            .ok_or_else(|| cursor.invalid(format_args!("the type of `{key}`"), offset, GgufProblem::Type(code))),
    }
}

impl<'a> Array<'a> {
    fn read(cursor: &mut Cursor<'a>, item: Type, key: &str) -> Result<Self> {
        let len = cursor.count(item.min_bytes(), format_args!("the number of items of `{key}`"))?;
        let all = cursor.rest();
        let start = cursor.offset();
        for index in 0..len {
            item.read(cursor, format_args!("item {index} of `{key}`"))?;
        }
        Ok(Self { item, len, bytes: &all[..cursor.offset() - start] })
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let (item, mut cursor) = (self.item, Cursor::new(std::path::Path::new(""), self.bytes));
        (0..self.len).map(move |_| item.read(&mut cursor, "").expect("every item was read once when the file was"))
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(number) => number.fmt(f),
            Self::Signed(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Text(text) => match text.char_indices().nth(SHOWN) {
                Some((cut, _)) => write!(f, "{:?}…", &text[..cut]),
                None => write!(f, "{text:?}"),
            },
            Self::Array(array) => {
                let n_shown = array.len.min(SHOWN / 8);
                let shown: Vec<_> = array.iter().take(n_shown).map(|value| value.to_string()).collect();
                let rest = if n_shown < array.len { format!(", … {} in all", array.len) } else { String::new() };
                write!(f, "[{}{rest}]", shown.join(", "))
            }
        }
    }
}
