//! Messages of the Open Inference Protocol as gRPC has them, and of gRPC's own protocol of health.
//!
//! Names, types and tags are those of Triton's `grpc_service.proto` and `model_config.proto`, of which KServe's
//! `grpc_predict_v2.proto` is a part. A field that no answer has is left out, and one that no request may have is read, so that
//! it can be refused.
//!
//! What only tells of something has the fields of its JSON, which is read as such.

use std::collections::BTreeMap;

use prost::{Message, Oneof};
use serde::{Deserialize, Deserializer, de::Error};

/// Says nothing.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Empty {}

#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct Live {
    #[prost(bool, tag = "1")]
    pub live: bool,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct Ready {
    #[prost(bool, tag = "1")]
    pub ready: bool,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct ServerMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(string, repeated, tag = "3")]
    extensions: Vec<String>,
}

/// A model; without a version its highest.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WhichModel {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct ModelMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "2")]
    versions: Vec<String>,
    #[prost(string, tag = "3")]
    platform: String,
    #[prost(message, repeated, tag = "4")]
    inputs: Vec<TensorMetadata>,
    #[prost(message, repeated, tag = "5")]
    outputs: Vec<TensorMetadata>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
struct TensorMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    datatype: String,
    #[prost(int64, repeated, tag = "3")]
    shape: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelConfigAnswer {
    #[prost(message, optional, tag = "1")]
    pub config: Option<ModelConfig>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct ModelConfig {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    platform: String,
    #[prost(message, optional, tag = "3")]
    version_policy: Option<VersionPolicy>,
    #[prost(int32, tag = "4")]
    max_batch_size: i32,
    #[prost(message, repeated, tag = "5")]
    input: Vec<ConfigInput>,
    #[prost(message, repeated, tag = "6")]
    output: Vec<ConfigOutput>,
    #[prost(string, tag = "17")]
    backend: String,
    #[prost(message, optional, tag = "19")]
    model_transaction_policy: Option<TransactionPolicy>,
}

/// Triton has others, which no model has here.
#[derive(Clone, PartialEq, Message, Deserialize)]
struct VersionPolicy {
    #[prost(message, optional, tag = "1")]
    latest: Option<Latest>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
struct Latest {
    #[prost(uint32, tag = "1")]
    num_versions: u32,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
struct TransactionPolicy {
    #[prost(bool, tag = "1")]
    decoupled: bool,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
struct ConfigInput {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    #[serde(deserialize_with = "data_type")]
    data_type: i32,
    #[prost(int64, repeated, tag = "4")]
    dims: Vec<i64>,
    #[prost(bool, tag = "8")]
    optional: bool,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
struct ConfigOutput {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    #[serde(deserialize_with = "data_type")]
    data_type: i32,
    #[prost(int64, repeated, tag = "3")]
    dims: Vec<i64>,
}

/// Types of tensors, each at its number.
const DATA_TYPES: [&str; 15] = [
    "TYPE_INVALID",
    "TYPE_BOOL",
    "TYPE_UINT8",
    "TYPE_UINT16",
    "TYPE_UINT32",
    "TYPE_UINT64",
    "TYPE_INT8",
    "TYPE_INT16",
    "TYPE_INT32",
    "TYPE_INT64",
    "TYPE_FP16",
    "TYPE_FP32",
    "TYPE_FP64",
    "TYPE_STRING",
    "TYPE_BF16",
];

/// The number of the type that has this name.
fn data_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    let name = String::deserialize(deserializer)?;
    let number = (0..).zip(DATA_TYPES).find_map(|(number, known)| (known == name).then_some(number));
    number.ok_or_else(|| D::Error::custom(format!("no type of tensors: {name:?}")))
}

#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct ModelStatisticsAnswer {
    #[prost(message, repeated, tag = "1")]
    model_stats: Vec<ModelStatistics>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
struct ModelStatistics {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(uint64, tag = "3")]
    last_inference: u64,
    #[prost(uint64, tag = "4")]
    inference_count: u64,
    #[prost(uint64, tag = "5")]
    execution_count: u64,
    #[prost(message, optional, tag = "6")]
    inference_stats: Option<InferStatistics>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
struct InferStatistics {
    #[prost(message, optional, tag = "1")]
    success: Option<StatisticDuration>,
    #[prost(message, optional, tag = "2")]
    fail: Option<StatisticDuration>,
    #[prost(message, optional, tag = "3")]
    queue: Option<StatisticDuration>,
    #[prost(message, optional, tag = "4")]
    compute_input: Option<StatisticDuration>,
    #[prost(message, optional, tag = "5")]
    compute_infer: Option<StatisticDuration>,
    #[prost(message, optional, tag = "6")]
    compute_output: Option<StatisticDuration>,
    #[prost(message, optional, tag = "7")]
    cache_hit: Option<StatisticDuration>,
    #[prost(message, optional, tag = "8")]
    cache_miss: Option<StatisticDuration>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
struct StatisticDuration {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(uint64, tag = "2")]
    ns: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RepositoryIndex {
    #[prost(string, tag = "1")]
    pub repository_name: String,
    #[prost(bool, tag = "2")]
    pub ready: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RepositoryIndexAnswer {
    #[prost(message, repeated, tag = "1")]
    pub models: Vec<ModelIndex>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
pub(super) struct ModelIndex {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(string, tag = "3")]
    state: String,
    #[prost(string, tag = "4")]
    reason: String,
}

/// To load a model, or to put one away.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RepositoryModel {
    #[prost(string, tag = "1")]
    pub repository_name: String,
    #[prost(string, tag = "2")]
    pub model_name: String,
    #[prost(btree_map = "string, message", tag = "3")]
    pub parameters: BTreeMap<String, RepositoryParameter>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RepositoryParameter {
    #[prost(oneof = "RepositoryValue", tags = "1, 2, 3, 4")]
    pub value: Option<RepositoryValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum RepositoryValue {
    #[prost(bool, tag = "1")]
    Bool(bool),
    #[prost(int64, tag = "2")]
    Int64(i64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bytes, tag = "4")]
    Bytes(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelInfer {
    #[prost(string, tag = "1")]
    pub model_name: String,
    #[prost(string, tag = "2")]
    pub model_version: String,
    #[prost(string, tag = "3")]
    pub id: String,
    #[prost(btree_map = "string, message", tag = "4")]
    pub parameters: BTreeMap<String, InferParameter>,
    #[prost(message, repeated, tag = "5")]
    pub inputs: Vec<InferInput>,
    #[prost(message, repeated, tag = "6")]
    pub outputs: Vec<WantedOutput>,
    /// The elements of each input, instead of its contents.
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub raw_input_contents: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InferInput {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub datatype: String,
    #[prost(int64, repeated, tag = "3")]
    pub shape: Vec<i64>,
    #[prost(btree_map = "string, message", tag = "4")]
    pub parameters: BTreeMap<String, InferParameter>,
    #[prost(message, optional, tag = "5")]
    pub contents: Option<InferContents>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WantedOutput {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(btree_map = "string, message", tag = "2")]
    pub parameters: BTreeMap<String, InferParameter>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InferParameter {
    #[prost(oneof = "InferValue", tags = "1, 2, 3, 4, 5")]
    pub value: Option<InferValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum InferValue {
    #[prost(bool, tag = "1")]
    Bool(bool),
    #[prost(int64, tag = "2")]
    Int64(i64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(uint64, tag = "5")]
    Uint64(u64),
}

/// The elements of a tensor, in the field of its type.
#[derive(Clone, PartialEq, Message)]
pub(super) struct InferContents {
    #[prost(bool, repeated, tag = "1")]
    pub bools: Vec<bool>,
    #[prost(int32, repeated, tag = "2")]
    pub ints: Vec<i32>,
    #[prost(int64, repeated, tag = "3")]
    pub int64s: Vec<i64>,
    #[prost(uint32, repeated, tag = "4")]
    pub uints: Vec<u32>,
    #[prost(uint64, repeated, tag = "5")]
    pub uint64s: Vec<u64>,
    #[prost(float, repeated, tag = "6")]
    pub fp32s: Vec<f32>,
    #[prost(double, repeated, tag = "7")]
    pub fp64s: Vec<f64>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub texts: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelInferAnswer {
    #[prost(string, tag = "1")]
    pub model_name: String,
    #[prost(string, tag = "2")]
    pub model_version: String,
    #[prost(string, tag = "3")]
    pub id: String,
    #[prost(message, repeated, tag = "5")]
    pub outputs: Vec<InferOutput>,
    /// The elements of each output.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub raw_output_contents: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InferOutput {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub datatype: String,
    #[prost(int64, repeated, tag = "3")]
    pub shape: Vec<i64>,
}

/// The answer to one request of a stream, or why it has none.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamAnswer {
    #[prost(string, tag = "1")]
    pub error_message: String,
    #[prost(message, optional, tag = "2")]
    pub infer_response: Option<ModelInferAnswer>,
}

/// A service whose health is asked for; "" is the server.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HealthCheck {
    #[prost(string, tag = "1")]
    pub service: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HealthAnswer {
    #[prost(int32, tag = "1")]
    pub status: i32,
}
