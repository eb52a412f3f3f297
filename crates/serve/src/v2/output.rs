//! Texts that were written → the tensors that a model gives.

use itera_runtime::FinishReason;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{outbox::Ended, v2::tensor::Datatype};

/// The tensors that a model gives, all of as many elements as there are texts.
pub(super) const OUTPUTS: [(&str, Datatype); 4] = [
    ("text_output", Datatype::Bytes),
    ("finish_reason", Datatype::Bytes),
    ("num_input_tokens", Datatype::Uint32),
    ("num_output_tokens", Datatype::Uint32),
];

/// A tensor of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Output {
    pub name: &'static str,
    pub datatype: Datatype,
    elements: Elements,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Elements {
    Texts(Vec<String>),
    Counts(Vec<u32>),
}

/// A text that has ended.
pub(super) struct Written {
    text: String,
    finish_reason: &'static str,
    prompt_tokens: u32,
    completion_tokens: u32,
}

impl Written {
    /// A text after its echo.
    pub fn new(echo: String, ended: &Ended) -> Self {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let completion = &ended.completion;
        let finish_reason = match completion.finish_reason {
            Some(FinishReason::Eos | FinishReason::Stop) => "stop",
            Some(FinishReason::Length | FinishReason::Context) => "length",
            None => "",
        };
        Self {
            text: echo + &completion.text,
            finish_reason,
            prompt_tokens: count(completion.usage.prompt_tokens),
            completion_tokens: count(completion.usage.completion_tokens),
        }
    }
}

/// All outputs for texts that have ended.
pub(super) fn outputs(texts: Vec<Written>) -> Vec<Output> {
    let elements = [
        Elements::Texts(texts.iter().map(|text| text.text.clone()).collect()),
        Elements::Texts(texts.iter().map(|text| text.finish_reason.to_owned()).collect()),
        Elements::Counts(texts.iter().map(|text| text.prompt_tokens).collect()),
        Elements::Counts(texts.iter().map(|text| text.completion_tokens).collect()),
    ];
    let named = OUTPUTS.into_iter().zip(elements);
    named.map(|((name, datatype), elements)| Output { name, datatype, elements }).collect()
}

impl Output {
    pub fn len(&self) -> usize {
        match &self.elements {
            Elements::Texts(texts) => texts.len(),
            Elements::Counts(counts) => counts.len(),
        }
    }

    /// All elements, as JSON.
    pub fn to_json(&self) -> Value {
        json!(self.elements)
    }

    /// All elements, as bytes; `None` where a text is too long for that.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![];
        match &self.elements {
            Elements::Texts(texts) => {
                for text in texts {
                    bytes.extend(u32::try_from(text.len()).ok()?.to_le_bytes());
                    bytes.extend(text.as_bytes());
                }
            }
            Elements::Counts(counts) => bytes.extend(counts.iter().flat_map(|count| count.to_le_bytes())),
        }
        Some(bytes)
    }
}

/// Outputs as fields of an object: of one text its value, of several a list.
pub(super) fn as_fields(outputs: &[Output]) -> Map<String, Value> {
    let field = |output: &Output| match output.to_json() {
        Value::Array(mut items) if items.len() == 1 => items.remove(0),
        items => items,
    };
    outputs.iter().map(|output| (output.name.to_owned(), field(output))).collect()
}
