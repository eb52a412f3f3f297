//! The part of TensorBoard's protocol buffers that scalars, texts and restarts need.
//!
//! Tags are those of `event.proto`, `summary.proto` and `tensor.proto` in tensorflow/tensorboard
//! (`tensorboard/compat/proto/`). A member of a `oneof` has the same bytes as an optional field.

use prost::Message;

/// `tensorboard.Event`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(string, optional, tag = "3")]
    pub file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    pub session_log: Option<SessionLog>,
}

/// `tensorboard.Summary`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// `tensorboard.Summary.Value`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Value {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
    #[prost(message, optional, tag = "8")]
    pub tensor: Option<StringTensor>,
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<Metadata>,
}

/// `tensorboard.SummaryMetadata`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub plugin_data: Option<PluginData>,
}

/// `tensorboard.SummaryMetadata.PluginData`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PluginData {
    #[prost(string, tag = "1")]
    pub plugin_name: String,
}

/// `tensorboard.TensorProto` with strings in it
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StringTensor {
    #[prost(int32, tag = "1")]
    pub dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
    #[prost(string, repeated, tag = "8")]
    pub string_val: Vec<String>,
}

/// `tensorboard.TensorShapeProto`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Shape {
    #[prost(message, repeated, tag = "2")]
    pub dim: Vec<Dim>,
}

/// `tensorboard.TensorShapeProto.Dim`
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Dim {
    #[prost(int64, tag = "1")]
    pub size: i64,
}

/// `tensorboard.SessionLog`
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct SessionLog {
    #[prost(int32, tag = "1")]
    pub status: i32,
}

/// `tensorboard.SessionLog.START`
const START: i32 = 1;

/// `tensorboard.DataType.DT_STRING`
const DT_STRING: i32 = 7;

impl Event {
    /// First record of every file: events that follow take the place of earlier ones of the same step.
    pub fn file_start() -> Self {
        Self { file_version: Some("brain.Event:2".into()), ..Self::default() }
    }

    /// Tells readers to forget events from `step` on, which earlier files of the directory may hold.
    pub fn session_start(step: u64) -> Self {
        Self { session_log: Some(SessionLog { status: START }), ..Self::at(step) }
    }

    /// Values of one step.
    pub fn summary(step: u64, value: Vec<Value>) -> Self {
        Self { summary: Some(Summary { value }), ..Self::at(step) }
    }

    fn at(step: u64) -> Self {
        Self { step: i64::try_from(step).unwrap_or(i64::MAX), ..Self::default() }
    }
}

impl Value {
    /// A number, as TensorBoard keeps them: in f32.
    pub fn scalar(tag: impl Into<String>, value: f64) -> Self {
        Self { tag: tag.into(), simple_value: Some(value as f32), ..Self::default() }
    }

    /// A text for the text plugin, which renders Markdown.
    pub fn text(tag: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            tag: tag.into(),
            tensor: Some(StringTensor {
                dtype: DT_STRING,
                shape: Some(Shape { dim: vec![Dim { size: 1 }] }),
                string_val: vec![text.into()],
            }),
            metadata: Some(Metadata { plugin_data: Some(PluginData { plugin_name: "text".into() }) }),
            ..Self::default()
        }
    }
}
