//! Which model a path is about.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use serde::Deserialize;

use crate::{app::App, engine::Engine, refusal::Refusal};

/// The version that each model has.
pub(super) const VERSION: &str = "1";

/// A model by its name, of its only version unless the path says one.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    model: String,
    version: Option<String>,
}

impl Which {
    pub fn engine<'a>(&self, app: &'a App) -> Result<&'a Engine, Refusal> {
        let engine = app.engine(Some(&self.model))?;
        match self.version.as_deref() {
            None | Some(VERSION) => Ok(engine),
            Some(other) => Err(Refusal::no_version(&self.model, other, VERSION)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Which {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let found = Path::from_request_parts(parts, state).await;
        found.map(|Path(which)| which).map_err(|problem| Refusal::bad(problem.body_text()))
    }
}
