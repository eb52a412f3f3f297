//! JSON of name → dtype, shape, offsets: the header of a safetensors file, before anyone asks whether it makes sense.

use std::collections::{HashMap, HashSet};
use std::fmt;

use safetensors::tensor::TensorInfo;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// What a header says of the whole file stands among the tensors, under this name.
const ABOUT: &str = "__metadata__";

/// The tensors of a header; no name occurs twice. (`Metadata` would keep the last of that name.)
pub(crate) struct Header(pub(crate) Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Header, A::Error> {
                let (mut tensors, mut seen) = (Vec::new(), HashSet::new());
                while let Some(name) = entries.next_key::<String>()? {
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format!("tensor `{name}` is given twice")));
                    }
                    if name == ABOUT {
                        entries.next_value::<Option<HashMap<String, String>>>()?;
                    } else {
                        tensors.push((name, entries.next_value()?));
                    }
                }
                Ok(Header(tensors))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
