//! What texts are told as: completions, or what the assistant of a chat says.

/// What texts are told as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Completion,
    Chat,
}

impl Form {
    /// How ids begin.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Completion => "cmpl",
            Self::Chat => "chatcmpl",
        }
    }

    /// What an answer, or each event, is called.
    pub fn object(self, is_streamed: bool) -> &'static str {
        match (self, is_streamed) {
            (Self::Completion, _) => "text_completion",
            (Self::Chat, false) => "chat.completion",
            (Self::Chat, true) => "chat.completion.chunk",
        }
    }
}
