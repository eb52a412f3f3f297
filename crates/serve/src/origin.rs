//! Sites whose pages may read answers (the CORS protocol, <https://fetch.spec.whatwg.org/#http-cors-protocol>).

use std::str::FromStr;

use axum::http::{
    HeaderName, HeaderValue, Method, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use tower_http::cors::CorsLayer;

use crate::visit::{REQUEST_ID, TRACE_PARENT};

/// A site, as browsers tell it: scheme, host and, where it is not that of the scheme, port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// What was given is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an origin is a scheme and a host, as in https://example.org or http://localhost:3000, without a path")]
pub struct NoOrigin;

impl FromStr for Origin {
    type Err = NoOrigin;

    fn from_str(text: &str) -> Result<Self, NoOrigin> {
        let uri: Uri = text.parse().map_err(|_| NoOrigin)?;
        let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or(NoOrigin)?;
        // browsers write it in this way, and it is compared to the byte
        let as_told = format!("{scheme}://{authority}").to_ascii_lowercase();
        let port_of_scheme = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(NoOrigin),
        };
        let is_one = as_told == text && authority.port_u16() != Some(port_of_scheme) && !text.contains(['@', '*']);
        is_one.then(|| HeaderValue::from_str(text).ok().map(Self)).flatten().ok_or(NoOrigin)
    }
}

/// What tells browsers that pages of `origins` may ask, and read what is answered.
pub(crate) fn layer(origins: &[Origin]) -> CorsLayer {
    let headers: [HeaderName; 4] = [AUTHORIZATION, CONTENT_TYPE, REQUEST_ID, TRACE_PARENT];
    CorsLayer::new()
        .allow_origin(origins.iter().map(|origin| origin.0.clone()).collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(headers)
        .expose_headers([REQUEST_ID, RETRY_AFTER])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for good in ["https://example.org", "http://localhost:3000", "http://127.0.0.1:8080", "https://[::1]:8443"] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        let paths = ["https://example.org/", "https://example.org/a", "https://example.org?a"];
        let hosts =
            ["*", "https://*", "https://*.example.org", "example.org", "null", "", "https://", "https://a@b.org"];
        let spelled =
            ["HTTPS://example.org", "https://Example.org", "https://example.org:443", "http://a:80", "ftp://a"];
        for bad in paths.into_iter().chain(hosts).chain(spelled) {
            assert_eq!(bad.parse::<Origin>(), Err(NoOrigin), "{bad}");
        }
    }
}
