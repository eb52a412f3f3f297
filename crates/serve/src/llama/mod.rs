//! llama.cpp's own API: `/completion`, `/props`, `/slots`. Its `/tokenize`, `/detokenize` and `/health` are those of all.

mod completion;
mod props;
mod settings;

use crate::openapi::Routes;

/// The routes of this surface.
pub(crate) fn routes(routes: Routes) -> Routes {
    routes
        .post("/completion", completion::completion, completion::operation())
        .post("/completions", completion::completion, completion::operation())
        .get("/props", props::props, props::props_operation())
        .get("/slots", props::slots, props::slots_operation())
}
