//! `POST /v2/models/{model}/infer`: tensors in, tensors out.
//!
//! ```text
//! Inference-Header-Content-Length: n      a body: JSON of n bytes, then the bytes of the tensors that come as such
//! ```

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    app::{App, at_leisure},
    json::{Fields, parse},
    loaded::Loaded,
    openapi::{
        BYTES, Operation,
        schema::{
            any_of, boolean, count, exactly, integer, list, object, one_of, only, or, or_null, some, text,
            with_required,
        },
    },
    refusal::Refusal,
    v2::{
        asked::Asked,
        input::{INPUTS, Tensor, take_tensors},
        output::{OUTPUTS, Output},
        tensor::Datatype,
        which::Which,
    },
};

/// Bytes of JSON that a body begins with, where bytes of tensors follow.
pub(crate) const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// An output that a request wants, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    parameters: Option<Form>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    binary_data: Option<bool>,
}

/// Which outputs are wanted, and of each whether it is wanted as bytes.
type Outputs = Vec<(&'static str, bool)>;

#[derive(Serialize)]
struct Answer<'a> {
    model_name: &'a str,
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<Told>,
}

#[derive(Serialize)]
struct Told {
    name: &'static str,
    datatype: Datatype,
    shape: [usize; 1],
    #[serde(flatten)]
    data: Data,
}

/// Is `"data": […]`, or `"parameters": {"binary_data_size": …}`.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Data {
    Data(Value),
    Parameters(Value),
}

/// What is not built.
const NOT_BUILT: [&str; 2] = ["priority", "timeout"];

/// The values of it that ask for nothing.
fn nothing() -> [Value; 3] {
    [json!(0), json!(""), json!(false)]
}

/// What is taken and answered.
pub(super) fn operation() -> Operation {
    let datatype = || json!({"enum": Datatype::ALL});
    let input = with_required(
        vec![
            ("name", one_of(&INPUTS.map(|input| input.name))),
            ("shape", some(integer(0..=u64::MAX))),
            ("datatype", datatype()),
            ("parameters", or_null(object(vec![("binary_data_size", or_null(integer(0..=usize::MAX)))]))),
            ("data", json!({"type": ["array", "null"]})),
        ],
        &["name", "shape", "datatype"],
    );
    let output_name = || one_of(&OUTPUTS.map(|(name, _)| name));
    let form = object(vec![("binary_data", or_null(boolean()))]);
    let output = with_required(vec![("name", output_name()), ("parameters", or_null(form))], &["name"]);
    let not_built = NOT_BUILT.map(|name| (name, or_null(only(&nothing())))).to_vec();
    let own = vec![("binary_data_output", or(boolean(), false))];
    let request = object(vec![
        ("id", or_null(text())),
        ("inputs", or_null(list(input))),
        ("outputs", or_null(list(output))),
        ("parameters", or_null(object([own, not_built, Asked::properties(false)].concat()))),
        ("model_name", or_null(text())),
        ("model_version", or_null(text())),
    ]);
    let told = with_required(
        vec![
            ("name", output_name()),
            ("datatype", datatype()),
            ("shape", list(count())),
            ("data", list(any_of([text(), count()]))),
            ("parameters", exactly(vec![("binary_data_size", count())])),
        ],
        &["name", "datatype", "shape"],
    );
    let answer = vec![("model_name", text()), ("model_version", text()), ("id", text()), ("outputs", list(told))];
    Operation::new("Continue the prompts in tensors")
        .takes("InferRequest", request)
        .or_bytes(JSON_LENGTH.as_str(), "Bytes of JSON that the body begins with, where bytes of tensors follow")
        .answers(with_required(answer, &["model_name", "model_version", "outputs"]))
        .answers_other(BYTES)
        .computed()
}

pub(super) async fn infer(State(app): State<Arc<App>>, which: Which, request: Request) -> Result<Response, Refusal> {
    let json_len = json_length(request.headers())?;
    let body = app.body(request).await?;
    let (asked, wanted) = at_leisure(body.len(), || read(&app, &which, &body, json_len))?;
    let (engine, id) = (asked.engine.clone(), asked.id.clone());
    let outputs = asked.outputs(&app).await?;
    answer(engine.loaded(), id, &outputs, &wanted)
}

/// Bytes of the body that are JSON, where it says so.
fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let Some(value) = headers.get(JSON_LENGTH) else { return Ok(None) };
    let number = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| Refusal::bad(format!("{JSON_LENGTH}: expected a number of bytes")))
}

fn read(app: &App, which: &Which, body: &Bytes, json_len: Option<usize>) -> Result<(Asked, Outputs), Refusal> {
    let engine = which.engine(app)?;
    let json_len = json_len.unwrap_or(body.len());
    let (json, bytes) = body.split_at_checked(json_len).ok_or_else(|| {
        Refusal::bad(format!("{JSON_LENGTH}: {json_len} bytes, of which the body has {}", body.len()))
    })?;
    let mut request: Fields = parse(json)?;
    let id = request.take("id")?;
    let tensors: Vec<Tensor> = request.take("inputs")?.unwrap_or_default();
    let wanted: Option<Vec<Wanted>> = request.take("outputs")?;
    let parameters: Map<String, Value> = request.take("parameters")?.unwrap_or_default();
    request.only("model_name", &[json!(engine.loaded().name)])?;
    request.only("model_version", &[json!(engine.loaded().version.to_string()), json!("")])?;
    request.done()?;
    let mut fields = Fields::of(parameters);
    let all_binary = fields.take("binary_data_output")?.unwrap_or(false);
    for name in NOT_BUILT {
        fields.only(name, &nothing())?;
    }
    take_tensors(&mut fields, tensors, bytes)?;
    Ok((Asked::take(app, engine, id, fields, false)?, which_outputs(wanted, all_binary)?))
}

fn which_outputs(wanted: Option<Vec<Wanted>>, all_binary: bool) -> Result<Outputs, Refusal> {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return Ok(OUTPUTS.iter().map(|(name, _)| (*name, all_binary)).collect());
    };
    let mut outputs: Outputs = vec![];
    for Wanted { name, parameters } in wanted {
        let problem = |what: &str| Refusal::field("outputs", format!("output {name:?}: {what}"));
        let known = OUTPUTS.iter().find(|(known, _)| *known == name);
        let (known, _) = known.ok_or_else(|| problem("the model gives no such tensor"))?;
        if outputs.iter().any(|(other, _)| other == known) {
            return Err(problem("wanted twice"));
        }
        outputs.push((known, parameters.unwrap_or_default().binary_data.unwrap_or(all_binary)));
    }
    Ok(outputs)
}

fn answer(loaded: &Loaded, id: Option<String>, all: &[Output], wanted: &Outputs) -> Result<Response, Refusal> {
    let (mut told, mut bytes, mut has_bytes) = (vec![], vec![], false);
    for (name, is_binary) in wanted {
        let Some(output) = all.iter().find(|output| output.name == *name) else { continue };
        let data = match is_binary {
            true => {
                let of_output = output.to_bytes().ok_or_else(|| Refusal::bad("a text is too long for bytes"))?;
                (has_bytes, bytes) = (true, [bytes, of_output.clone()].concat());
                Data::Parameters(json!({"binary_data_size": of_output.len()}))
            }
            false => Data::Data(output.to_json()),
        };
        told.push(Told { name: output.name, datatype: output.datatype, shape: [output.len()], data });
    }
    let answer = Answer { model_name: &loaded.name, model_version: loaded.version.to_string(), id, outputs: told };
    if !has_bytes {
        return Ok(Json(answer).into_response());
    }
    let mut body = serde_json::to_vec(&answer).expect("strings and numbers are JSON");
    let headers = [(CONTENT_TYPE, HeaderValue::from_static(BYTES)), (JSON_LENGTH, HeaderValue::from(body.len()))];
    body.extend(bytes);
    Ok((headers, body).into_response())
}
