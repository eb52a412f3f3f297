//! A request for texts by tensors, as a request of HTTP that has them as bytes; and its answer back again.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tonic::Status;

use crate::grpc::message::{
    InferContents, InferInput, InferOutput, InferParameter, InferValue, ModelInfer, ModelInferAnswer,
};

/// How HTTP is asked to answer; gRPC has one form alone.
const BINARY_DATA_OUTPUT: &str = "binary_data_output";

/// A body of HTTP: JSON, behind which lie the bytes of tensors.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub bytes: Vec<u8>,
    pub json_len: usize,
}

#[derive(Deserialize)]
struct Answer {
    model_name: String,
    model_version: String,
    #[serde(default)]
    id: String,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    datatype: String,
    shape: Vec<i64>,
    parameters: Size,
}

#[derive(Deserialize)]
struct Size {
    binary_data_size: usize,
}

/// The body of a request. What it asks for is held to what models take by those who read it.
pub(super) fn to_http(request: ModelInfer) -> Result<Body, Status> {
    let ModelInfer { model_name: _, model_version: _, id, parameters, inputs, outputs, raw_input_contents } = request;
    let tensors = elements(&inputs, raw_input_contents)?;
    let inputs = inputs.iter().zip(&tensors).map(|(input, elements)| {
        none("input", &input.name, &input.parameters)?;
        Ok(json!({
            "name": input.name,
            "datatype": input.datatype,
            "shape": input.shape,
            "parameters": {"binary_data_size": elements.len()},
        }))
    });
    let inputs = inputs.collect::<Result<Vec<_>, Status>>()?;
    let outputs = outputs.iter().map(|output| {
        none("output", &output.name, &output.parameters)?;
        Ok(json!({"name": output.name}))
    });
    let outputs = outputs.collect::<Result<Vec<_>, Status>>()?;
    let mut parameters = values(parameters)?;
    if parameters.insert(BINARY_DATA_OUTPUT.to_owned(), true.into()).is_some() {
        return Err(Status::invalid_argument(format!("{BINARY_DATA_OUTPUT}: only requests by HTTP have it")));
    }
    let id = Some(id).filter(|id| !id.is_empty());
    let json = json!({"id": id, "parameters": parameters, "inputs": inputs, "outputs": outputs});
    let json = serde_json::to_vec(&json).expect("values are JSON");
    Ok(Body { json_len: json.len(), bytes: [json, tensors.concat()].concat() })
}

/// The answer that a body of HTTP has.
pub(super) fn from_http(body: &Body) -> Option<ModelInferAnswer> {
    let (json, mut bytes) = body.bytes.split_at_checked(body.json_len)?;
    let Answer { model_name, model_version, id, outputs } = serde_json::from_slice(json).ok()?;
    let mut raw_output_contents = vec![];
    for output in &outputs {
        let (of_output, rest) = bytes.split_at_checked(output.parameters.binary_data_size)?;
        raw_output_contents.push(of_output.to_vec());
        bytes = rest;
    }
    let output = |Output { name, datatype, shape, .. }| InferOutput { name, datatype, shape };
    let outputs = outputs.into_iter().map(output).collect();
    Some(ModelInferAnswer { model_name, model_version, id, outputs, raw_output_contents })
}

/// Parameters as JSON.
fn values(parameters: BTreeMap<String, InferParameter>) -> Result<Map<String, Value>, Status> {
    let value = |(name, InferParameter { value }): (String, InferParameter)| {
        let value = match value {
            Some(InferValue::Bool(value)) => value.into(),
            Some(InferValue::Int64(value)) => value.into(),
            Some(InferValue::Text(value)) => value.into(),
            Some(InferValue::Double(value)) => {
                if !value.is_finite() {
                    return Err(Status::invalid_argument(format!("{name}: expected a finite number")));
                }
                value.into()
            }
            Some(InferValue::Uint64(value)) => value.into(),
            None => Value::Null,
        };
        Ok((name, value))
    };
    parameters.into_iter().map(value).collect()
}

/// What asks how a tensor is to be sent, as through shared memory, is not built.
fn none(what: &str, name: &str, parameters: &BTreeMap<String, InferParameter>) -> Result<(), Status> {
    match parameters.keys().next() {
        None => Ok(()),
        Some(parameter) => {
            Err(Status::invalid_argument(format!("{what} {name:?}: no parameter {parameter:?} is known")))
        }
    }
}

/// The elements of each input as bytes.
fn elements(inputs: &[InferInput], raw: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Status> {
    if raw.is_empty() {
        return inputs.iter().map(bytes).collect();
    }
    if raw.len() != inputs.len() {
        let problem = format!("raw_input_contents: {} of them for {} inputs", raw.len(), inputs.len());
        return Err(Status::invalid_argument(problem));
    }
    match inputs.iter().find(|input| input.contents.is_some()) {
        None => Ok(raw),
        Some(input) => {
            let problem = format!("input {:?}: expected contents or raw_input_contents, and not both", input.name);
            Err(Status::invalid_argument(problem))
        }
    }
}

/// The contents of an input as bytes: its elements in little-endian order; of texts the length in four bytes before each.
fn bytes(input: &InferInput) -> Result<Vec<u8>, Status> {
    let problem = |what: &str| Status::invalid_argument(format!("input {:?}: {what}", input.name));
    let mut contents = input.contents.clone().unwrap_or_default();
    let narrow = |value: Option<Vec<u8>>| value.ok_or_else(|| problem("an element is none of its type"));
    let bytes = match &*input.datatype {
        "BOOL" => std::mem::take(&mut contents.bools).into_iter().map(u8::from).collect(),
        "INT8" => narrow(each(&mut contents.ints, |value| i8::try_from(value).ok().map(i8::to_le_bytes)))?,
        "INT16" => narrow(each(&mut contents.ints, |value| i16::try_from(value).ok().map(i16::to_le_bytes)))?,
        "INT32" => narrow(each(&mut contents.ints, |value| Some(value.to_le_bytes())))?,
        "INT64" => narrow(each(&mut contents.int64s, |value| Some(value.to_le_bytes())))?,
        "UINT8" => narrow(each(&mut contents.uints, |value| u8::try_from(value).ok().map(u8::to_le_bytes)))?,
        "UINT16" => narrow(each(&mut contents.uints, |value| u16::try_from(value).ok().map(u16::to_le_bytes)))?,
        "UINT32" => narrow(each(&mut contents.uints, |value| Some(value.to_le_bytes())))?,
        "UINT64" => narrow(each(&mut contents.uint64s, |value| Some(value.to_le_bytes())))?,
        "FP32" => narrow(each(&mut contents.fp32s, |value| Some(value.to_le_bytes())))?,
        "FP64" => narrow(each(&mut contents.fp64s, |value| Some(value.to_le_bytes())))?,
        "BYTES" => {
            let text = |text: Vec<u8>| {
                let len = u32::try_from(text.len()).expect("a message is shorter than 4 GiB");
                [len.to_le_bytes().to_vec(), text].concat()
            };
            std::mem::take(&mut contents.texts).into_iter().flat_map(text).collect()
        }
        // which is refused where it is read
        _ => vec![],
    };
    if contents == InferContents::default() {
        Ok(bytes)
    } else {
        Err(problem(&format!("its contents are not in the field of its type, {:?}", input.datatype)))
    }
}

/// The bytes of all elements, which are taken; `None` where one has none.
fn each<T, const N: usize>(elements: &mut Vec<T>, bytes: impl Fn(T) -> Option<[u8; N]>) -> Option<Vec<u8>> {
    let elements: Option<Vec<[u8; N]>> = std::mem::take(elements).into_iter().map(bytes).collect();
    elements.map(|elements| elements.concat())
}
