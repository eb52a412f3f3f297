//! Which model a path is about.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use serde::Deserialize;

use crate::{
    app::App,
    catalog::{Id, Missing},
    engine::Engine,
    refusal::Refusal,
};

/// A model by its name, of its highest version unless the path says one.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    model: String,
    version: Option<String>,
}

impl Which {
    /// The engine of the model, which is loaded if it is not.
    pub fn engine(&self, app: &App) -> Result<Arc<Engine>, Refusal> {
        app.engine_of(Some(&self.model), self.version(app)?)
    }

    /// The model, whether it is loaded or not.
    pub fn id(&self, app: &App) -> Result<Id, Refusal> {
        let found = app.models().find(Some(&self.model), self.version(app)?);
        found.map_err(|missing| Refusal::missing(Some(&self.model), missing))
    }

    /// The name that the path says.
    pub fn into_name(self) -> String {
        self.model
    }

    /// What the path says, if it is a number.
    fn version(&self, app: &App) -> Result<Option<u64>, Refusal> {
        let no_such = |_| Missing::Version(app.models().versions(&self.model));
        let version = self.version.as_deref().map(|version| version.parse().map_err(no_such)).transpose();
        version.map_err(|missing| Refusal::missing(Some(&self.model), missing))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Which {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let found = Path::from_request_parts(parts, state).await;
        found.map(|Path(which)| which).map_err(|problem| Refusal::bad(problem.body_text()))
    }
}
