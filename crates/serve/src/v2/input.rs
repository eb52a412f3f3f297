//! The tensors that a text is asked by → fields of a request, as the other surfaces have them.

use serde::Deserialize;
use serde_json::Value;

use crate::{json::Fields, refusal::Refusal, v2::tensor::Datatype};

/// A tensor that a model takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input {
    pub name: &'static str,
    /// As it is told; any that holds the value is read.
    pub datatype: Datatype,
    /// Elements; `None` for any number of them.
    pub len: Option<usize>,
}

const fn one(name: &'static str, datatype: Datatype) -> Input {
    Input { name, datatype, len: Some(1) }
}

const fn many(name: &'static str, datatype: Datatype) -> Input {
    Input { name, datatype, len: None }
}

/// All that a text may be asked by. The first must be there.
pub(super) const INPUTS: [Input; 14] = [
    many("text_input", Datatype::Bytes),
    one("max_tokens", Datatype::Uint32),
    one("temperature", Datatype::Fp32),
    one("top_p", Datatype::Fp32),
    one("top_k", Datatype::Uint32),
    one("min_p", Datatype::Fp32),
    one("repetition_penalty", Datatype::Fp32),
    one("seed", Datatype::Uint64),
    one("n", Datatype::Uint32),
    many("stop", Datatype::Bytes),
    one("ignore_eos", Datatype::Bool),
    one("exclude_input_in_output", Datatype::Bool),
    one("sampling_parameters", Datatype::Bytes),
    one("stream", Datatype::Bool),
];

/// A tensor as a request has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tensor {
    name: String,
    shape: Vec<u64>,
    datatype: Datatype,
    parameters: Option<Parameters>,
    data: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    binary_data_size: Option<usize>,
}

/// Add the values of `tensors` to `fields`. Those that came as bytes lie in `bytes`, one after the other.
pub(super) fn take_tensors(fields: &mut Fields, tensors: Vec<Tensor>, mut bytes: &[u8]) -> Result<(), Refusal> {
    for tensor in tensors {
        let problem = |what: String| Refusal::field(&tensor.name, format!("input {:?}: {what}", tensor.name));
        let known = INPUTS.iter().find(|input| input.name == tensor.name);
        let input = known.ok_or_else(|| problem("the model takes no such tensor".into()))?;
        let datatype = tensor.datatype;
        let size = tensor.parameters.as_ref().and_then(|parameters| parameters.binary_data_size);
        let elements = match (size, &tensor.data) {
            (None, Some(data)) => datatype.read_json(data.clone()),
            (Some(size), None) => {
                let (of_tensor, rest) = bytes
                    .split_at_checked(size)
                    .ok_or_else(|| problem(format!("{size} bytes, of which the body has {}", bytes.len())))?;
                bytes = rest;
                datatype.read(of_tensor)
            }
            _ => return Err(problem("expected `data` or `binary_data_size`, and not both".into())),
        };
        let elements = elements.ok_or_else(|| problem(format!("its data are no elements of type {datatype:?}")))?;
        let len = tensor.shape.iter().try_fold(1_u64, |len, size| len.checked_mul(*size));
        if len != Some(elements.len() as u64) || tensor.shape.is_empty() {
            return Err(problem(format!("its shape is {:?}, of {} elements", tensor.shape, elements.len())));
        }
        match (input.len, &elements[..]) {
            (None, _) => fields.add(input.name, elements.into())?,
            (Some(_), [only]) => fields.add(input.name, only.clone())?,
            (Some(_), _) => return Err(problem(format!("expected one element, not {}", elements.len()))),
        }
    }
    match bytes {
        [] => Ok(()),
        _ => Err(Refusal::bad(format!("{} bytes of the body belong to no tensor", bytes.len()))),
    }
}
