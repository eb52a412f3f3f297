//! `POST /v1/feedback`: what is said of an answer.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
};
use serde_json::{Value, json};

use crate::{
    app::{App, at_leisure},
    feedback::{Feedback, Said},
    json::Fields,
    refusal::Refusal,
};

/// Write down a rating of an answer, or what it should have been.
pub(crate) async fn feedback(State(app): State<Arc<App>>, request: Request) -> Result<Json<Value>, Refusal> {
    let kept = app.feedback().ok_or_else(|| Refusal::no_route("/v1/feedback"))?;
    let said = app.read(request, |fields| said(kept, fields)).await?;
    at_leisure(usize::MAX, || kept.keep(&said))?;
    Ok(Json(json!({"object": "feedback", "id": said.id, "choice": said.choice})))
}

fn said(kept: &Feedback, mut fields: Fields) -> Result<Said, Refusal> {
    let said = Said {
        id: fields.take("id")?.ok_or_else(|| Refusal::field("id", "id: missing"))?,
        choice: fields.take("choice")?.unwrap_or(0),
        rating: fields.take("rating")?,
        correction: fields.take("correction")?,
    };
    fields.done()?;
    if said.rating.is_some_and(|rating| !(-1.0..=1.0).contains(&rating)) {
        return Err(Refusal::field("rating", "rating: expected -1 to 1"));
    }
    match (&said.rating, &said.correction) {
        (None, None) => Err(Refusal::field("rating", "rating: expected it, or a correction")),
        (_, Some(_)) if !kept.takes_texts() => {
            Err(Refusal::field("correction", "correction: this server keeps no texts"))
        }
        _ => Ok(said),
    }
}
