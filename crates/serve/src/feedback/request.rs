//! `POST /v1/feedback`, `POST /v2/feedback`: what is said of an answer.

use std::{ops::RangeInclusive, sync::Arc};

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
};
use serde_json::{Value, json};

use crate::{
    app::{App, at_leisure},
    feedback::kept::{Feedback, Said},
    json::Fields,
    openapi::{
        Operation,
        schema::{count, exactly, integer, number, one_of, or, or_null, text, with_required},
    },
    refusal::Refusal,
};

const RATINGS: RangeInclusive<f64> = -1.0..=1.0;

/// What is taken and answered.
pub(crate) fn operation() -> Operation {
    let said = vec![
        ("id", text()),
        ("choice", or(integer(0..=usize::MAX), 0)),
        ("rating", or_null(number(RATINGS))),
        ("correction", or_null(text())),
    ];
    Operation::new("Say how good a text of an answer was, or what it should have been")
        .takes("FeedbackRequest", with_required(said, &["id"]))
        .answers(exactly(vec![("object", one_of(&["feedback"])), ("id", text()), ("choice", count())]))
        .refuses(&[StatusCode::CONFLICT, StatusCode::INSUFFICIENT_STORAGE])
}

/// Write down a rating of an answer, or what it should have been.
pub(crate) async fn feedback(State(app): State<Arc<App>>, request: Request) -> Result<Json<Value>, Refusal> {
    let kept = app.feedback().ok_or_else(|| Refusal::no_route(request.uri().path()))?;
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
    if said.rating.is_some_and(|rating| !RATINGS.contains(&rating)) {
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
