//! environment → [`HubEnv`]

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where the hub is, and what may be asked of it: the variables that every Hugging Face tool reads.
///
/// Not `Debug`, because the token is a secret.
#[derive(Clone)]
pub struct HubEnv {
    /// Base address without a slash at the end (`HF_ENDPOINT`).
    pub endpoint: String,
    /// Directory of downloaded repositories, shared with other tools (`HF_HUB_CACHE`, else `hub` in `HF_HOME`).
    pub cache: PathBuf,
    /// Whether only what the cache holds may be used (`HF_HUB_OFFLINE`).
    pub is_offline: bool,
    /// Access token (`HF_TOKEN`, else the file that logging in wrote).
    pub token: Option<String>,
    /// Pause before the second attempt at a download; doubled before each further one.
    pub retry_pause: Duration,
}

impl HubEnv {
    /// Read the environment of the process.
    pub fn from_env() -> Self {
        Self::from_variables(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let home = variable("HF_HOME").map(PathBuf::from);
        let home = home.unwrap_or_else(|| env::home_dir().unwrap_or_default().join(".cache/huggingface"));
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let is_set = |value: String| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on");
        Self {
            endpoint: endpoint.trim_end_matches('/').into(),
            cache: variable("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            is_offline: variable("HF_HUB_OFFLINE").is_some_and(is_set),
            token: variable("HF_TOKEN").or_else(|| stored_token(&home)),
            retry_pause: Duration::from_millis(500),
        }
    }
}

fn stored_token(home: &Path) -> Option<String> {
    let token = std::fs::read_to_string(home.join("token")).ok()?;
    let token = token.trim();
    (!token.is_empty()).then(|| token.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env_of(variables: &[(&str, &str)]) -> HubEnv {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        HubEnv::from_variables(find)
    }

    #[test]
    fn unset_variables_mean_the_public_hub() {
        let env = env_of(&[]);
        assert_eq!(env.endpoint, "https://huggingface.co");
        assert!(env.cache.ends_with(".cache/huggingface/hub"));
        assert!(!env.is_offline);
    }

    #[test]
    fn variables_are_honoured() {
        let env = env_of(&[
            ("HF_ENDPOINT", "http://mirror.example/"),
            ("HF_HOME", "/data/hf"),
            ("HF_HUB_OFFLINE", "1"),
            ("HF_TOKEN", "hf_x"),
        ]);
        assert_eq!(env.endpoint, "http://mirror.example");
        assert_eq!(env.cache, Path::new("/data/hf/hub"));
        assert!(env.is_offline);
        assert_eq!(env.token.as_deref(), Some("hf_x"));
        assert!(!env_of(&[("HF_HUB_OFFLINE", "0")]).is_offline);
        assert_eq!(env_of(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")]).cache, Path::new("/c"));
    }
}
